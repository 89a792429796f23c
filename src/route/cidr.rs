//! Blocks of IP addresses (RFC 4632), for conditions on the client's address.

use std::net::IpAddr;
use std::str::FromStr;

/// An address block such as `10.0.0.0/8` or `2001:db8::/32`; an address alone is a block of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u32,
}

impl Cidr {
    /// Whether the address is in the block. An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) counts
    /// as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                head(network.to_bits().into(), 32, self.prefix)
                    == head(address.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                head(network.to_bits(), 128, self.prefix) == head(address.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

/// The first `prefix` bits of an address that has `width` bits.
fn head(address: u128, width: u32, prefix: u32) -> u128 {
    address.checked_shr(width.saturating_sub(prefix)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address
            .parse()
            .map_err(|_| "must be an address block such as 10.0.0.0/8")?;
        if matches!(network, IpAddr::V6(network) if network.to_ipv4_mapped().is_some()) {
            return Err("must be written as IPv4, as such addresses are compared");
        }
        let width = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits
                .parse()
                .map_err(|_| "must be an address block such as 10.0.0.0/8")?,
            Some(_) => return Err("must be an address block such as 10.0.0.0/8"),
        };
        if prefix > width {
            return Err("must have a prefix no longer than the address");
        }
        let bits = match network {
            IpAddr::V4(network) => u128::from(network.to_bits()),
            IpAddr::V6(network) => network.to_bits(),
        };
        let host = head(bits, width, prefix).checked_shl(width - prefix).unwrap_or(0);
        if host != bits {
            return Err("must have no bits set behind its prefix");
        }
        Ok(Cidr { network, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_block_has_its_addresses_and_no_others() {
        for (block, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1/32", "192.0.2.2", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
            ("::1/128", "::2", false),
        ] {
            let (cidr, address): (Cidr, IpAddr) = (block.parse().unwrap(), address.parse().unwrap());
            assert_eq!(cidr.contains(address), expected, "{block} {address}");
        }
        for bad in [
            "",
            "10.0.0/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "::1/64",
            "::/129",
            "a/8",
            "1.2.3.4/8/8",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
