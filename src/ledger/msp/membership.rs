//! Determines which principals a certificate satisfies (`msp/mspimpl.go`,
//! `msp/mspimplvalidate.go`).

use super::Msp;
use crate::error::Result;
use crate::identity::certificate::{Certificate, blocks};
use crate::ledger::config_tree::Group;
use crate::ledger::message::configuration::Capabilities;
use crate::ledger::message::msp::SerializedIdentity;
use crate::ledger::message::msp_configuration::OuIdentifier;
use crate::ledger::message::policy::{
    Classification, CombinedPrincipal, IdentityAnonymity, OrganizationUnit, Principal, Role,
    RoleType,
};
use crate::ledger::policy::role_word;
use prost::Message;
use sha2::{Digest, Sha256};

/// The version of the MSP rules, which depends on the channel's capability level
/// (`common/capabilities/channel.go`, `MSPVersion`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rules {
    /// Before V1_1: no roles by unit.
    V1_0,
    /// Peers and clients by unit.
    V1_1,
    /// Since V1_4_3: administrators and orderers by unit too.
    V1_4_3,
}

impl Rules {
    pub fn of_channel(channel: &Group) -> Result<Rules> {
        let capabilities: Option<Capabilities> = channel.value("Capabilities")?;
        let levels = capabilities.unwrap_or_default().capabilities;
        let levels = levels.into_iter().filter_map(|entry| entry.key);
        let rules = levels.map(|level| match level.as_str() {
            "V1_1" | "V1_3" | "V1_4_2" => Rules::V1_1,
            _ => Rules::V1_4_3,
        });
        Ok(rules.max().unwrap_or(Rules::V1_0))
    }
}

/// The reason why a certificate does not satisfy a principal.
type Reason = String;

impl Msp {
    /// Checks that the certificate belongs to this organization. Ignores its expiry, like Fabric,
    /// where an orderer checks it when it accepts a transaction.
    pub fn validate(&self, certificate: &Certificate, rules: Rules) -> Result<(), Reason> {
        let chain = self.chain(certificate)?;
        let lists = self.revocations.iter().flat_map(|pem| blocks(pem));
        if lists
            .into_iter()
            .any(|(_, list)| certificate.is_revoked_by(&list))
        {
            return Err("it is revoked".to_owned());
        }
        let own = certificate.organizational_units();
        let is_certified = |unit: &OuIdentifier| {
            unit.certificate.is_empty()
                || Certificate::from_pem(&unit.certificate, "the authority of a unit")
                    .is_ok_and(|authority| authority.der() == chain[0].der())
        };
        let has = |unit: &OuIdentifier| own.contains(&unit.organizational_unit_identifier);
        if !self.units.is_empty() && !self.units.iter().any(|it| has(it) && is_certified(it)) {
            return Err(format!("none of its units {own:?} is one of the MSP's"));
        }
        let roles: Vec<&OuIdentifier> = self.role_units(rules).filter(|it| has(it)).collect();
        match roles[..] {
            _ if !self.has_roles(rules) => Ok(()),
            [role] if is_certified(role) => Ok(()),
            [_] => Err("another authority than the role's issued it".to_owned()),
            [] => Err(format!("none of its units {own:?} is a role")),
            _ => Err(format!("its units {own:?} are more than one role")),
        }
    }

    /// Whether the certificate satisfies the principal.
    pub fn satisfies(
        &self,
        certificate: &Certificate,
        principal: &Principal,
        rules: Rules,
    ) -> Result<(), Reason> {
        let broken = |_| "the principal cannot be read".to_owned();
        let bytes = &principal.principal[..];
        match principal.principal_classification() {
            Classification::Role => {
                let role = Role::decode(bytes).map_err(broken)?;
                self.is_own(&role.msp_identifier)?;
                self.has_role(certificate, role.role(), rules)
            }
            Classification::Identity => {
                let identity = SerializedIdentity::decode(bytes).map_err(broken)?;
                self.is_own(&identity.mspid)?;
                let named = Certificate::from_pem(&identity.id_bytes, "the principal");
                match named {
                    Ok(named) if named.der() == certificate.der() => {
                        self.validate(certificate, rules)
                    }
                    _ => Err("it is another certificate".to_owned()),
                }
            }
            Classification::OrganizationUnit => {
                let unit = OrganizationUnit::decode(bytes).map_err(broken)?;
                self.is_own(&unit.msp_identifier)?;
                self.validate(certificate, rules)?;
                let name = unit.organizational_unit_identifier;
                let certifiers = self.chain(certificate)?.into_iter();
                let certifiers =
                    certifiers.fold(Sha256::new(), |hash, it| hash.chain_update(it.der()));
                if certificate.organizational_units().contains(&name)
                    && certifiers.finalize()[..] == unit.certifiers_identifier[..]
                {
                    return Ok(());
                }
                Err(format!("it does not have the unit {name:?}"))
            }
            Classification::Anonymity => match IdentityAnonymity::decode(bytes) {
                Ok(IdentityAnonymity { anonymity_type: 0 }) => Ok(()),
                _ => Err("it is not anonymous".to_owned()),
            },
            Classification::Combined => {
                let combined = CombinedPrincipal::decode(bytes).map_err(broken)?;
                if combined.principals.is_empty() {
                    return Err("the principal combines nothing".to_owned());
                }
                let mut all = combined.principals.iter();
                all.try_for_each(|it| self.satisfies(certificate, it, rules))
            }
        }
    }

    fn is_own(&self, msp_id: &str) -> Result<(), Reason> {
        if msp_id == self.id {
            return Ok(());
        }
        Err(format!("it belongs to {}, not to {msp_id}", self.id))
    }

    fn has_role(&self, it: &Certificate, role: RoleType, rules: Rules) -> Result<(), Reason> {
        if role == RoleType::Member {
            return self.validate(it, rules);
        }
        let is_known = |pem: &Vec<u8>| {
            Certificate::from_pem(pem, "an administrator")
                .is_ok_and(|known| known.der() == it.der())
        };
        if role == RoleType::Admin && self.admins.iter().any(is_known) {
            return Ok(());
        }
        self.validate(it, rules)?;
        let ous = self.node_ous.as_ref().filter(|_| self.has_roles(rules));
        let unit = ous.and_then(|ous| match role {
            RoleType::Client => ous.client_ou_identifier.as_ref(),
            RoleType::Peer => ous.peer_ou_identifier.as_ref(),
            RoleType::Admin if rules >= Rules::V1_4_3 => ous.admin_ou_identifier.as_ref(),
            RoleType::Orderer if rules >= Rules::V1_4_3 => ous.orderer_ou_identifier.as_ref(),
            _ => None,
        });
        let name = unit.map(|unit| &unit.organizational_unit_identifier);
        match name {
            Some(name) if it.organizational_units().contains(name) => Ok(()),
            Some(name) => Err(format!("it does not have the unit {name:?}")),
            None => Err(format!(
                "the MSP does not define who is {}",
                role_word(role)
            )),
        }
    }

    /// Returns true if the MSP determines roles by organizational unit.
    fn has_roles(&self, rules: Rules) -> bool {
        let ous = self.node_ous.as_ref();
        rules >= Rules::V1_1 && ous.is_some_and(|ous| ous.enable)
    }

    fn role_units(&self, rules: Rules) -> impl Iterator<Item = &OuIdentifier> {
        let ous = self.node_ous.iter().flat_map(move |ous| {
            let later = rules >= Rules::V1_4_3;
            let early = [&ous.client_ou_identifier, &ous.peer_ou_identifier];
            let late = [&ous.admin_ou_identifier, &ous.orderer_ou_identifier];
            early
                .into_iter()
                .chain(late.into_iter().filter(move |_| later))
        });
        ous.flatten()
    }

    /// Returns the issuing authorities of the certificate, from its issuer to the root.
    fn chain(&self, certificate: &Certificate) -> Result<Vec<Certificate>, Reason> {
        if certificate.is_authority {
            return Err("it is the certificate of an authority".to_owned());
        }
        let read = |pems: &[Vec<u8>]| -> Vec<Certificate> {
            let read = pems
                .iter()
                .map(|pem| Certificate::from_pem(pem, "an authority"));
            read.filter_map(Result::ok).collect()
        };
        let (roots, intermediates) = (read(&self.roots), read(&self.intermediates));
        let mut chain: Vec<Certificate> = Vec::new();
        loop {
            let last = chain.last().unwrap_or(certificate);
            let issuer = |it: &&Certificate| last.is_signed_by(it);
            if let Some(root) = roots.iter().find(issuer) {
                chain.push(root.clone());
                break;
            }
            // A certificate that is already in the chain would create a cycle.
            let mut candidates = intermediates.iter().filter(|it| !chain.contains(it));
            let Some(next) = candidates.find(issuer) else {
                return Err("none of the organization's authorities signed it".to_owned());
            };
            chain.push(next.clone());
        }
        if intermediates.iter().any(|it| it.is_signed_by(&chain[0])) {
            return Err("its issuer signs other authorities only".to_owned());
        }
        Ok(chain)
    }
}
