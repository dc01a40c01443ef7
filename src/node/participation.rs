//! Channel participation: the REST service on an orderer's admin port, from Fabric 2.3 on
//! (`orderer/common/channelparticipation/restapi.go`). It requires a client certificate.

use super::fault::Fault;
use super::rest::{Rest, request};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Method, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

const CHANNELS: &str = "/participation/v1/channels";

/// Characters of a channel's name that need no escape in a path.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The channels of an orderer (`types.ChannelList`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelList {
    /// Up to Fabric 2.x.
    pub system_channel: Option<ChannelName>,
    pub channels: Option<Vec<ChannelName>>,
}

/// A channel in a list (`types.ChannelInfoShort`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelName {
    pub name: String,
}

/// A channel on an orderer (`types.ChannelInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelInfo {
    pub name: String,
    /// `consenter`, `follower`, `config-tracker` or `other`
    pub consensus_relation: String,
    /// `active`, `onboarding`, `inactive` or `failed`
    pub status: String,
    /// The number of the last block, plus one.
    pub height: u64,
}

impl Rest {
    /// Returns the names of the orderer's channels, without a system channel.
    pub async fn channels(&self) -> Result<Vec<String>, Fault> {
        let list: ChannelList = self.json(request(Method::GET, CHANNELS)).await?;
        let channels = list.channels.unwrap_or_default();
        Ok(channels.into_iter().map(|channel| channel.name).collect())
    }

    /// Returns a channel, or `None` if the orderer does not have it.
    pub async fn channel(&self, name: &str) -> Result<Option<ChannelInfo>, Fault> {
        found(self.json(request(Method::GET, &path(name))).await)
    }

    /// Joins the orderer to the channel of a configuration block: the genesis block, or a later one
    /// if the channel exists on other orderers.
    ///
    /// # Errors
    ///
    /// Returns HTTP 405 if the orderer already has the channel, so check first.
    pub async fn join(&self, block: &[u8]) -> Result<ChannelInfo, Fault> {
        self.json(form(Method::POST, "config-block", block)).await
    }

    /// Submits a configuration update (an envelope). Fabric 3.1.2 and later.
    pub async fn update(&self, envelope: &[u8]) -> Result<ChannelInfo, Fault> {
        self.json(form(Method::PUT, "config-update-envelope", envelope))
            .await
    }

    /// Removes the orderer from a channel, and the channel's blocks. Returns false if it did not
    /// have the channel.
    pub async fn remove(&self, name: &str) -> Result<bool, Fault> {
        let removed = self.ask(request(Method::DELETE, &path(name))).await;
        Ok(found(removed)?.is_some())
    }

    /// Returns a block of a channel by its number, or `config` or `newest`, as encoded by the
    /// orderer. Fabric 3.1.2 and later.
    pub async fn block(&self, channel: &str, block: &str) -> Result<Option<Bytes>, Fault> {
        let path = format!(
            "{}/blocks/{}",
            path(channel),
            utf8_percent_encode(block, NAME)
        );
        found(self.ask(request(Method::GET, &path)).await)
    }
}

fn path(channel: &str) -> String {
    format!("{CHANNELS}/{}", utf8_percent_encode(channel, NAME))
}

#[allow(
    clippy::result_large_err,
    reason = "a fault ends a call of milliseconds"
)]
fn found<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(fault)
            if fault
                .refusal()
                .is_some_and(|refusal| refusal.is_not_found()) =>
        {
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}

/// Returns a form with one file (RFC 7578).
fn form(method: Method, field: &str, file: &[u8]) -> Request<Bytes> {
    let boundary = boundary(file);
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{field}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let mut body = BytesMut::with_capacity(head.len() + file.len() + tail.len());
    body.put_slice(head.as_bytes());
    body.put_slice(file);
    body.put_slice(tail.as_bytes());
    let mut request = request(method, CHANNELS);
    *request.body_mut() = body.freeze();
    let content = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"));
    let content = content.expect("hexadecimal digits are text");
    request.headers_mut().insert(header::CONTENT_TYPE, content);
    request
}

/// A boundary that does not occur in the file.
fn boundary(file: &[u8]) -> String {
    let mut nonce = [0_u8; 16];
    loop {
        // Count up until the boundary does not occur in the file.
        let _ = SystemRandom::new().fill(&mut nonce);
        let boundary: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        if !file
            .windows(boundary.len())
            .any(|part| part == boundary.as_bytes())
        {
            return boundary;
        }
        nonce[0] = nonce[0].wrapping_add(1);
    }
}
