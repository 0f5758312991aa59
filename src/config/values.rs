//! The kinds of value a configuration is written in: choices, durations, addresses, base URLs,
//! prices and secrets. Each reads one [`Field`] and reports what is wrong with it.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use ipnet::IpNet;
use tollgate_accounting::{Markup, Money, UnitPrice};
use toml::de::DeValue;

use super::{
    reader::{Field, did_you_mean, shorten},
    secret::Secret,
};
use crate::clock::parse_duration;

/// No timeout is longer: beyond a day it is a slip of the unit.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// No key is longer; a whole file of something else is.
const LONGEST_SECRET: usize = 16 * 1024;

impl<'t> Field<'t> {
    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let word = self.text()?;
        if let Some((_, chosen)) = words.iter().find(|(known, _)| *known == word) {
            return Some(*chosen);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = did_you_mean(word, &known).unwrap_or_default();
        self.error_help(&format!("`{}` means nothing here", shorten(word)), &help)
    }

    /// A duration with its unit: `250ms`, `10s`, `2m`, `1h`.
    pub(super) fn duration(&self) -> Option<Duration> {
        const EXAMPLE: &str =
            "write a whole number and its unit: \"250ms\", \"10s\", \"2m\", \"1h\"";
        let DeValue::String(text) = self.value else {
            return self.error_help("must be a string with a unit", EXAMPLE);
        };
        match parse_duration(text) {
            Some(duration) if duration.is_zero() => self.error("must be more than zero"),
            Some(duration) if duration > LONGEST => self.error("must be at most a day"),
            Some(duration) => Some(duration),
            None => self.error_help("not a duration", EXAMPLE),
        }
    }

    /// An address to listen on.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => self.error_help(
                "not an IP address and a port",
                "write \"127.0.0.1:8787\" for this machine only, \"0.0.0.0:8787\" for all networks",
            ),
        }
    }

    /// A network, or a single address.
    pub(super) fn network(&self) -> Option<IpNet> {
        let text = self.text()?;
        let single = || text.parse().ok().map(|address: IpAddr| IpNet::from(address));
        match text.parse().ok().or_else(single) {
            Some(network) => Some(network),
            None => self.error_help(
                "neither a network nor an IP address",
                "write it like \"10.0.0.0/8\", \"2001:db8::/32\" or \"192.0.2.7\"",
            ),
        }
    }

    /// Where a provider is reached, without a slash at its end.
    pub(super) fn base_url(&self) -> Option<String> {
        let text = self.text()?;
        match check_base_url(text) {
            Ok(()) => Some(text.trim_end_matches('/').to_owned()),
            Err(why) => self.error_help(why, "write it like \"https://api.example.com/v1\""),
        }
    }

    /// A price in dollars per million units.
    pub(super) fn per_million(&self) -> Option<UnitPrice> {
        self.price(UnitPrice::per_million)
    }

    /// A price in dollars per single unit.
    pub(super) fn per_unit(&self) -> Option<UnitPrice> {
        self.price(UnitPrice::per_unit)
    }

    fn price<E: std::fmt::Display>(
        &self,
        read: impl Fn(&str) -> Result<UnitPrice, E>,
    ) -> Option<UnitPrice> {
        let DeValue::String(text) = self.value else {
            return self.error_help(
                "a price must be a decimal in quotes",
                "write \"0.15\": a bare number would be read in binary and rounded, and prices are \
                 kept exactly as written",
            );
        };
        match read(text) {
            Ok(price) => Some(price),
            Err(why) => self.error(&format!("not a price: {why}")),
        }
    }

    /// An amount of dollars, none or more.
    pub(super) fn dollars(&self) -> Option<Money> {
        const EXAMPLE: &str = "write \"0.002\": a decimal in quotes, at most nine places";
        let DeValue::String(text) = self.value else {
            return self.error_help("an amount must be a decimal in quotes", EXAMPLE);
        };
        match text.strip_prefix('$').unwrap_or(text).parse::<Money>() {
            Ok(money) if money >= Money::ZERO => Some(money),
            Ok(_) => self.error("must not be negative"),
            Err(_) => self.error_help("not an amount of dollars", EXAMPLE),
        }
    }

    /// What is charged on top of a price, as a percentage.
    pub(super) fn markup(&self) -> Option<Markup> {
        let text = self.text()?;
        let help =
            "write \"10%\", or \"-5%\" for a discount: at most two decimals, from -100% to 10000%";
        Markup::percent(text).map_or_else(|| self.error_help("not a markup", help), Some)
    }

    /// A secret, by the name of where it is kept.
    pub(super) fn secret(&self) -> Option<Secret> {
        let text = self.text()?;
        if let Some(name) = text.strip_prefix("env:") {
            if !is_variable_name(name) {
                // It may be the secret itself, so it is not repeated.
                return self.error_help(
                    "`env:` is not followed by the name of an environment variable",
                    "a name has letters, digits and underscores",
                );
            }
            match (self.reader.env)(name) {
                Some(value) => self.kept(&value, &format!("environment variable {name}")),
                None => self.error(&format!("environment variable {name} is not set")),
            }
        } else if let Some(path) = text.strip_prefix("file:") {
            let path = self.reader.resolve(path);
            match read_secret(&path) {
                Ok(value) => self.kept(&value, &format!("file {}", path.display())),
                Err(why) => self.error(&format!("file {}: {why}", path.display())),
            }
        } else {
            self.error_help(
                "a secret must not be written in this file",
                "name where it is kept: \"env:NAME\" or \"file:PATH\"",
            )
        }
    }

    /// A secret goes out as a header, so it must fit in one.
    fn kept(&self, value: &str, place: &str) -> Option<Secret> {
        let value = value.trim_end_matches(['\n', '\r']);
        if value.trim().is_empty() {
            return self.error(&format!("{place} is empty"));
        }
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return self.error(&format!("{place} holds a space or other character no key has"));
        }
        Some(Secret::new(value.to_owned()))
    }
}

fn read_secret(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut value = String::new();
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let most = LONGEST_SECRET as u64 + 1;
    file.take(most).read_to_string(&mut value).map_err(|e| e.to_string())?;
    if value.len() > LONGEST_SECRET { Err("too long to be a key".to_owned()) } else { Ok(value) }
}

/// Whether a text can name an environment variable.
pub(super) fn is_variable_name(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What a base URL may not be: not HTTP, without a host, or with anything that belongs to a single
/// request or to a person.
fn check_base_url(text: &str) -> Result<(), &'static str> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or("must begin with https:// or http://")?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['"', '<', '>', '\\']) {
        return Err("holds a character that no URL has");
    }
    if text.contains(['?', '#']) {
        return Err("must have no query and no fragment");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must hold no user name or password");
    }
    let (host, port) = split_port(authority);
    if host.is_empty() {
        return Err("has no host");
    }
    match port {
        Some(port) if !matches!(port.parse::<u16>(), Ok(1..)) => Err("has a port that is none"),
        _ => Ok(()),
    }
}

/// The host and the port of `host:port`, where the host may be `[::1]`.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_bracket..].find(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(after_bracket + colon);
            (host, Some(&port[1..]))
        }
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_whole_number_and_a_unit() {
        let cases = [
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            ("2 m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("10", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("10 seconds", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
            ("", None),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn a_base_url_is_http_with_a_host_and_nothing_of_one_request() {
        let good = [
            "https://api.openai.com/v1",
            "http://127.0.0.1:9001/v1/",
            "http://[::1]:9001",
            "https://proxy.example/a/b",
        ];
        for url in good {
            assert_eq!(check_base_url(url), Ok(()), "{url}");
        }
        let bad = [
            "api.openai.com/v1",
            "ftp://example.com",
            "https://",
            "https:///v1",
            "https://:443/v1",
            "https://user:pass@example.com",
            "https://example.com?key=1",
            "https://example.com/#top",
            "https://exa mple.com",
            "https://example.com:99999",
            "https://example.com:0",
            "https://example.com:x",
            "https://exämple.com",
        ];
        for url in bad {
            assert!(check_base_url(url).is_err(), "{url}");
        }
    }
}
