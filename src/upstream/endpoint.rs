//! Where a provider is and how it is addressed, worked out once and used for every call.

use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use tollgate_providers::Encoded;
use tollgate_providers::unified::Auth;

use super::sigv4::{SigningKey, Unsigned};
use crate::clock;

/// A provider's address, credentials and patience.
#[derive(Debug)]
pub struct Endpoint {
    place: Place,
    address: String,
    patience: Patience,
}

/// How long a provider is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// From the request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
}

/// Where it is.
#[derive(Debug)]
pub enum Place {
    /// In this process: the demo provider.
    InProcess,
    /// At a host.
    Host(Box<Host>),
}

/// A host, with the credentials to show it.
#[derive(Debug)]
pub struct Host {
    scheme: Scheme,
    authority: Authority,
    /// The path that requests are appended to, without a slash at its end.
    prefix: String,
    /// One per key.
    credentials: Vec<(HeaderName, HeaderValue)>,
    /// What requests are signed with, instead of showing a credential.
    signing: Option<SigningKey>,
}

/// Why an address or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadEndpoint {
    /// The base URL is none.
    #[error("{0:?} is not an http or https URL with a host")]
    Url(String),
    /// A key has characters that no header can carry.
    #[error("a key of this provider has characters that cannot be sent in a header")]
    Key,
}

impl Endpoint {
    /// The demo provider's.
    pub fn in_process(patience: Patience) -> Endpoint {
        Endpoint { place: Place::InProcess, address: String::new(), patience }
    }

    /// A provider's at `base_url`, shown one of `keys` the way `auth` says.
    pub fn at<'k>(
        base_url: &str,
        auth: Auth,
        keys: impl Iterator<Item = &'k str>,
        patience: Patience,
    ) -> Result<Endpoint, BadEndpoint> {
        let bad = || BadEndpoint::Url(base_url.to_owned());
        let parts = base_url.parse::<Uri>().map_err(|_| bad())?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(bad());
        };
        if ![Scheme::HTTP, Scheme::HTTPS].contains(&scheme) || authority.as_str().contains('@') {
            return Err(bad());
        }
        let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path);
        let prefix = path.trim_end_matches('/').to_owned();
        let credentials = keys.map(|key| credential(auth, key)).collect::<Result<Vec<_>, _>>()?;
        let credentials = credentials.into_iter().flatten().collect();
        let address = format!("{scheme}://{authority}{prefix}");
        let host = Host { scheme, authority, prefix, credentials, signing: None };
        Ok(Endpoint { place: Place::Host(Box::new(host)), address, patience })
    }

    /// The same with every request signed.
    #[must_use]
    pub fn signed_with(mut self, key: SigningKey) -> Endpoint {
        if let Place::Host(host) = &mut self.place {
            host.signing = Some(key);
        }
        self
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The address that requests are sent to, without their own path; nothing for the demo provider.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From the request to the first byte of the answer.
    pub fn first_byte_timeout(&self) -> Duration {
        self.patience.first_byte
    }

    /// For a connection.
    pub fn connect_timeout(&self) -> Duration {
        self.patience.connect
    }

    /// Between two pieces of an answer.
    pub fn idle_timeout(&self) -> Duration {
        self.patience.idle
    }
}

impl Host {
    /// The HTTP request that carries `encoded` here and shows that key. Nothing of the client's own
    /// headers is in it.
    pub(super) fn request(
        &self,
        key: usize,
        encoded: Encoded,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let path = PathAndQuery::try_from(format!("{}{}", self.prefix, encoded.path))?;
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()?;
        let signature = self.signing.as_ref().map(|key| self.signature(key, &encoded, uri.path()));
        let mut request = Request::new(Full::new(Bytes::from(encoded.body)));
        *request.method_mut() = Method::from_bytes(encoded.method.as_bytes())?;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("tollgate"));
        for (name, value) in encoded.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value)?);
        }
        if let Some((name, value)) = self.credentials.get(key) {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in signature.into_iter().flatten() {
            let mut value = HeaderValue::from_str(&value)?;
            value.set_sensitive(name != "x-amz-date");
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(request)
    }

    fn signature(
        &self,
        key: &SigningKey,
        encoded: &Encoded,
        path: &str,
    ) -> Vec<(&'static str, String)> {
        key.sign(&Unsigned {
            method: encoded.method,
            path,
            query: encoded.path.split_once('?').map_or("", |(_, query)| query),
            headers: &[("content-type", "application/json"), ("host", self.authority.as_str())],
            body: &encoded.body,
            at: clock::now(),
        })
    }
}

fn credential(auth: Auth, key: &str) -> Result<Option<(HeaderName, HeaderValue)>, BadEndpoint> {
    let (name, text) = match auth {
        Auth::Bearer => (header::AUTHORIZATION, format!("Bearer {key}")),
        Auth::Header(name) => (HeaderName::from_static(name), key.to_owned()),
        Auth::None => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| BadEndpoint::Key)?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = {
        let second = Duration::from_secs(1);
        Patience { connect: second, first_byte: second, idle: second }
    };

    fn encoded() -> Encoded {
        Encoded {
            method: "POST",
            path: "/chat/completions".into(),
            headers: Vec::new(),
            body: b"{}".to_vec(),
            dropped: Vec::new(),
        }
    }

    #[test]
    fn paths_are_appended_to_the_base_and_the_key_is_the_one_asked_for() {
        let keys = ["a", "b"].into_iter();
        let base = "http://127.0.0.1:9001/v1/";
        let endpoint = Endpoint::at(base, Auth::Bearer, keys, PATIENCE).unwrap();
        let Place::Host(host) = endpoint.place() else { panic!() };
        for (at, key) in ["Bearer a", "Bearer b"].into_iter().enumerate() {
            let request = host.request(at, encoded()).unwrap();
            assert_eq!(request.uri(), "http://127.0.0.1:9001/v1/chat/completions");
            assert_eq!(request.headers()["authorization"], key);
        }
    }

    #[test]
    fn an_address_must_be_http_with_a_host_and_no_user() {
        for bad in ["", "ftp://x/", "/v1", "http://user@host/", "http://"] {
            let endpoint = Endpoint::at(bad, Auth::None, std::iter::empty(), PATIENCE);
            assert!(endpoint.is_err(), "{bad}");
        }
    }
}
