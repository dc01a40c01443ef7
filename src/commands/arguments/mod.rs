//! Groups of flags that several verbs share. Their docstrings are the help that the user reads.

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

/// The heading of the flags that say which chart and which values.
pub const CHART: &str = "Chart and values";
/// The heading of the flags that say how an operation goes about it.
pub const OPERATION: &str = "Operation";
/// The heading of the flags that say what is printed.
pub const OUTPUT: &str = "Output";
/// The heading of kubectl's own flags.
pub const KUBERNETES: &str = "Kubernetes";
