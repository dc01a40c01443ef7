//! Package `msp`: identities of signers (`msp/identities.proto`).

/// `msp.SerializedIdentity`: the creator of a message, or an endorser.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SerializedIdentity {
    #[prost(string, tag = "1")]
    pub mspid: String,
    /// The certificate, as PEM.
    #[prost(bytes = "vec", tag = "2")]
    pub id_bytes: Vec<u8>,
}
