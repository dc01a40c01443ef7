//! Groups of flags that several verbs share. Their doc comments are the text of `--help`.

pub mod chart;
pub mod connection;
pub mod duration;
pub mod jsonpath;
pub mod labels;
pub mod network;
pub mod operation;
pub mod output;
pub mod revision;
pub mod signing;
pub mod values;

pub use chart::ChartArguments;
pub use connection::ConnectionArguments;
pub use jsonpath::JsonPath;
pub use network::NetworkArguments;
pub use operation::{ApplyArguments, DryRunChoice, PostRendererArguments};
pub use output::{FORMATS, Format, OutputArguments};
pub use signing::{Signers, SigningArguments};
pub use values::ValuesArguments;

/// The heading of the flags that select chart and values.
pub const CHART: &str = "Chart and values";
/// The heading of the flags that control an operation.
pub const OPERATION: &str = "Operation";
/// The heading of the flags for output.
pub const OUTPUT: &str = "Output";
/// The heading of kubectl's own flags.
pub const KUBERNETES: &str = "Kubernetes";
