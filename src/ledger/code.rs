//! Validation codes: the reasons for which peers mark transactions as invalid, as text.

use crate::error::Error;

macro_rules! codes {
    ($($variant:ident = $number:literal, $name:literal, $meaning:literal;)*) => {
        /// `protos.TxValidationCode` (`peer/transaction.proto`), the same in every Fabric version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
        #[repr(i32)]
        pub enum TxValidationCode {
            $(#[doc = $meaning] $variant = $number,)*
        }

        impl TxValidationCode {
            /// Every code, by number.
            pub const ALL: &[TxValidationCode] = &[$(TxValidationCode::$variant),*];

            /// The name in Fabric's definition, as in the logs of peers: `MVCC_READ_CONFLICT`.
            pub fn name(self) -> &'static str {
                match self {
                    $(TxValidationCode::$variant => $name,)*
                }
            }

            /// Its meaning, as a sentence without a period.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(TxValidationCode::$variant => $meaning,)*
                }
            }
        }
    };
}

codes! {
    Valid = 0, "VALID", "the transaction is valid";
    NilEnvelope = 1, "NIL_ENVELOPE", "the block holds an empty envelope in its place";
    BadPayload = 2, "BAD_PAYLOAD", "the peer cannot read the payload of the envelope";
    BadCommonHeader = 3, "BAD_COMMON_HEADER", "the header is incomplete or cannot be read";
    BadCreatorSignature = 4, "BAD_CREATOR_SIGNATURE",
        "the signature of the creator is wrong, or the channel does not accept the creator's certificate";
    InvalidEndorserTransaction = 5, "INVALID_ENDORSER_TRANSACTION",
        "the transaction does not match the proposal that was endorsed";
    InvalidConfigTransaction = 6, "INVALID_CONFIG_TRANSACTION",
        "the peer rejects the channel configuration";
    UnsupportedTxPayload = 7, "UNSUPPORTED_TX_PAYLOAD",
        "the peer does not know this type of transaction";
    BadProposalTxid = 8, "BAD_PROPOSAL_TXID",
        "the transaction id is not the hash of nonce and creator";
    DuplicateTxid = 9, "DUPLICATE_TXID",
        "the channel already has a transaction with this id";
    EndorsementPolicyFailure = 10, "ENDORSEMENT_POLICY_FAILURE",
        "the endorsements do not satisfy the endorsement policy of the chaincode";
    MvccReadConflict = 11, "MVCC_READ_CONFLICT",
        "another transaction changed a key that this one read";
    PhantomReadConflict = 12, "PHANTOM_READ_CONFLICT",
        "another transaction added or removed a key in a range that this one read";
    UnknownTxType = 13, "UNKNOWN_TX_TYPE", "the peer does not know this type of transaction";
    TargetChainNotFound = 14, "TARGET_CHAIN_NOT_FOUND",
        "the peer has not joined the channel that the transaction names";
    MarshalTxError = 15, "MARSHAL_TX_ERROR", "the peer could not encode the transaction again";
    NilTxaction = 16, "NIL_TXACTION", "the transaction has no action";
    ExpiredChaincode = 17, "EXPIRED_CHAINCODE",
        "the chaincode was upgraded after the transaction was endorsed";
    ChaincodeVersionConflict = 18, "CHAINCODE_VERSION_CONFLICT",
        "the same block upgrades the chaincode";
    BadHeaderExtension = 19, "BAD_HEADER_EXTENSION",
        "the header does not name the chaincode correctly";
    BadChannelHeader = 20, "BAD_CHANNEL_HEADER", "the peer cannot read the channel header";
    BadResponsePayload = 21, "BAD_RESPONSE_PAYLOAD",
        "the peer cannot read the result of the chaincode";
    BadRwset = 22, "BAD_RWSET", "the peer cannot read the read and write set";
    IllegalWriteset = 23, "ILLEGAL_WRITESET",
        "the chaincode wrote to a namespace that it must not write to";
    InvalidWriteset = 24, "INVALID_WRITESET",
        "the state database does not accept a key or value that the transaction writes";
    InvalidChaincode = 25, "INVALID_CHAINCODE",
        "the channel has no committed definition of the chaincode";
    NotValidated = 254, "NOT_VALIDATED", "no peer has validated the transaction yet";
    InvalidOtherReason = 255, "INVALID_OTHER_REASON",
        "the peer could not validate the transaction; its log says why";
}

impl TxValidationCode {
    /// Advice for the user, if it helps more than the peer's log.
    pub fn hint(self) -> Option<&'static str> {
        use TxValidationCode::*;
        match self {
            MvccReadConflict | PhantomReadConflict => {
                Some("nothing of the transaction was applied; send it again")
            }
            EndorsementPolicyFailure => Some(
                "nothing of the transaction was applied; send it to peers of more organizations",
            ),
            BadCreatorSignature => Some(
                "check that the organization is a member of the channel and that the certificate \
                 is neither expired nor revoked",
            ),
            ExpiredChaincode | ChaincodeVersionConflict => {
                Some("nothing of the transaction was applied; send it again")
            }
            InvalidChaincode => Some("commit the chaincode definition on the channel first"),
            DuplicateTxid => {
                Some("look the transaction up by its id: an earlier attempt may have been valid")
            }
            _ => None,
        }
    }
}

/// Describes a validation code, including those of later Fabric versions: `MVCC_READ_CONFLICT
/// (11): another transaction changed ...`.
pub fn describe(code: i32) -> String {
    match TxValidationCode::try_from(code) {
        Ok(known) => format!("{} ({code}): {}", known.name(), known.meaning()),
        Err(_) => format!("validation code {code}: unknown to this version"),
    }
}

/// The error of a transaction that was committed as invalid.
pub fn invalid(tx_id: &str, code: i32) -> Error {
    let error = Error::cluster(format!("transaction {tx_id} is invalid")).why(describe(code));
    match TxValidationCode::try_from(code)
        .ok()
        .and_then(TxValidationCode::hint)
    {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_variants() {
        for code in TxValidationCode::ALL {
            let spelled: String = format!("{code:?}").chars().fold(String::new(), |name, c| {
                let separator = if c.is_uppercase() && !name.is_empty() {
                    "_"
                } else {
                    ""
                };
                name + separator + &c.to_uppercase().to_string()
            });
            assert_eq!(spelled, code.name());
            assert_eq!(TxValidationCode::try_from(*code as i32), Ok(*code));
        }
        assert_eq!(TxValidationCode::ALL.len(), 28);
    }

    #[test]
    fn a_code_is_described_with_name_number_and_meaning() {
        assert_eq!(
            describe(11),
            "MVCC_READ_CONFLICT (11): another transaction changed a key that this one read"
        );
        assert_eq!(describe(77), "validation code 77: unknown to this version");
    }

    #[test]
    fn an_invalid_transaction_is_an_error_with_what_to_do() {
        let error = invalid("5a01", 10).to_string();
        assert!(error.contains("transaction 5a01 is invalid"), "{error}");
        assert!(error.contains("ENDORSEMENT_POLICY_FAILURE (10)"), "{error}");
        assert!(error.contains("peers of more organizations"), "{error}");
    }
}
