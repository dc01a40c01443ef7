//! The language of signature policies (`common/policydsl/policyparser.go`).
//!
//! Supports `AND`, `OR` and `OutOf`, each in three spellings, over principals `'MSP.role'`. Fabric
//! numbers the principals from the innermost call outwards, without sharing equal ones. The numbers
//! are part of the encoded policy, so they are the same here.

use super::{n_out_of, role_principal, signed_by};
use crate::error::{Error, Result, nearest};
use crate::ledger::message::policy::{
    Principal, RoleType, SignaturePolicy, SignaturePolicyEnvelope,
};

/// Maximum nesting depth of calls. Fabric has no limit.
const MAX_DEPTH: usize = 32;

pub fn expression(text: &str) -> Result<SignaturePolicyEnvelope> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
    };
    let read = parser.argument().and_then(|argument| match argument {
        Argument::Gate(gate) if parser.rest().is_empty() => Ok(gate),
        Argument::Gate(_) => Err(parser.expected("the end")),
        _ => Err("expected AND(...), OR(...) or OutOf(...)".to_owned()),
    });
    let gate = read.map_err(|why| {
        Error::user(format!("cannot read the policy {text:?}"))
            .why(why)
            .hint("use an expression such as OR('Org1MSP.admin', AND('Org2MSP.peer', 'Org3MSP.peer'))")
    })?;
    let mut identities = Vec::new();
    let rule = gate.number(&mut identities);
    Ok(SignaturePolicyEnvelope {
        version: 0,
        rule: Some(rule),
        identities,
    })
}

enum Argument {
    Number(i32),
    Principal(Principal),
    Gate(Gate),
}

struct Gate {
    n: i32,
    arguments: Vec<Argument>,
}

impl Gate {
    /// Numbers the principals of inner calls first, then its own.
    fn number(self, identities: &mut Vec<Principal>) -> SignaturePolicy {
        let inside = self.arguments.into_iter().map(|argument| match argument {
            Argument::Gate(gate) => Ok(gate.number(identities)),
            other => Err(other),
        });
        let inside: Vec<Result<SignaturePolicy, Argument>> = inside.collect();
        let rules = inside.into_iter().map(|rule| match rule {
            Ok(rule) => rule,
            Err(Argument::Principal(principal)) => {
                identities.push(principal);
                signed_by(identities.len() - 1)
            }
            Err(_) => n_out_of(0, Vec::new()),
        });
        n_out_of(self.n, rules.collect())
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn expected(&mut self, what: &str) -> String {
        let rest = self.rest();
        let column = self.at + 1;
        let found = rest.chars().next();
        let found = found.map_or_else(|| "the end".to_owned(), |c| format!("{c:?}"));
        format!("expected {what} at column {column}, found {found}")
    }

    fn accept(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    fn argument(&mut self) -> Result<Argument, String> {
        let rest = self.rest();
        match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let end = rest[1..].find(quote);
                let end =
                    end.ok_or_else(|| format!("unterminated quote at column {}", self.at + 1))?;
                self.at += end + 2;
                let content = &rest[1..=end];
                match content.parse() {
                    Ok(number) => Ok(Argument::Number(number)),
                    Err(_) => principal(content).map(Argument::Principal),
                }
            }
            Some(c) if c.is_ascii_digit() => {
                let end = rest
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(rest.len());
                self.at += end;
                let number = rest[..end].parse();
                number
                    .map(Argument::Number)
                    .map_err(|_| format!("{} is too large", &rest[..end]))
            }
            Some(c) if c.is_ascii_alphabetic() => {
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric())
                    .unwrap_or(rest.len());
                self.at += end;
                self.gate(&rest[..end]).map(Argument::Gate)
            }
            _ => Err(self.expected("a principal in quotes, AND, OR or OutOf")),
        }
    }

    fn gate(&mut self, name: &str) -> Result<Gate, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} calls inside each other"));
        }
        let mut arguments = self.arguments()?;
        self.depth -= 1;
        let n = match name {
            "AND" | "And" | "and" => arguments.len() as i32,
            "OR" | "Or" | "or" => 1,
            "OUTOF" | "OutOf" | "outof" => match arguments.first() {
                Some(Argument::Number(n)) => {
                    let n = *n;
                    arguments.remove(0);
                    n
                }
                _ => {
                    return Err(
                        "OutOf starts with the number of required signatures: OutOf(2, ...)"
                            .to_owned(),
                    );
                }
            },
            _ => {
                let meant = nearest(name, ["AND", "OR", "OutOf"]);
                let meant = meant.map_or_else(String::new, |it| format!("; did you mean {it}?"));
                return Err(format!("unknown word {name:?}{meant}"));
            }
        };
        if arguments.is_empty() || arguments.iter().any(|it| matches!(it, Argument::Number(_))) {
            return Err(format!(
                "{name} takes principals in quotes, AND, OR and OutOf"
            ));
        }
        // Fabric allows n to exceed the number of arguments by one, which cannot be satisfied.
        if n as usize > arguments.len() {
            let count = arguments.len();
            return Err(format!(
                "{name} requires {n} of {count}, which cannot be satisfied"
            ));
        }
        Ok(Gate { n, arguments })
    }

    fn arguments(&mut self) -> Result<Vec<Argument>, String> {
        if !self.accept('(') {
            return Err(self.expected("\"(\""));
        }
        let mut arguments = Vec::new();
        if self.accept(')') {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.argument()?);
            if self.accept(')') {
                return Ok(arguments);
            }
            if !self.accept(',') {
                return Err(self.expected("\",\" or \")\""));
            }
        }
    }
}

/// `Org1MSP.admin`. An MSP id may have dots itself.
fn principal(text: &str) -> Result<Principal, String> {
    let (msp_id, role) = text.rsplit_once('.').ok_or_else(|| {
        format!("{text:?} has no role; expected a principal such as 'Org1MSP.admin'")
    })?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if msp_id.is_empty() || !msp_id.chars().all(allowed) {
        return Err(format!(
            "the MSP id {msp_id:?} can only have letters, digits, dots and dashes in a policy"
        ));
    }
    let role = match role {
        "member" => RoleType::Member,
        "admin" => RoleType::Admin,
        "client" => RoleType::Client,
        "peer" => RoleType::Peer,
        "orderer" => RoleType::Orderer,
        _ => {
            let roles = ["member", "admin", "client", "peer", "orderer"];
            let meant = nearest(role, roles);
            let meant = meant.map_or_else(String::new, |it| format!("; did you mean {it}?"));
            return Err(format!("unknown role {role:?} in {text:?}{meant}"));
        }
    };
    Ok(role_principal(role, msp_id))
}
