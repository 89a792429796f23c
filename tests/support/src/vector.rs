//! The public vectors of slots and layouts: `tests/vectors/`, written by the code of `docs/`.

use serde::Deserialize;

/// A key and its slot.
#[derive(Debug, Deserialize)]
pub struct SlotVector {
    /// The app's name.
    pub app: String,
    /// The epoch.
    pub epoch: u32,
    /// The key's bytes in hexadecimal.
    pub key: String,
    /// The slot's number.
    pub slot: u32,
}

impl SlotVector {
    /// The key's bytes.
    pub fn key(&self) -> Vec<u8> {
        bytes(&self.key)
    }
}

/// The parts of a request, and the first slot of its client.
#[derive(Debug, Deserialize)]
pub struct InitialVector {
    /// The app's name.
    pub app: String,
    /// The epoch.
    pub epoch: u32,
    /// The number of the time bucket, if there is one.
    pub bucket: Option<u64>,
    /// The bytes of each part in hexadecimal.
    pub parts: Vec<String>,
    /// The slot's number.
    pub slot: u32,
}

impl InitialVector {
    /// The bytes of each part.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        self.parts.iter().map(|part| bytes(part)).collect()
    }
}

/// A pin or a token, and the key that sealed it.
#[derive(Debug, Deserialize)]
pub struct SealVector {
    /// The key's bytes in hexadecimal.
    pub key: String,
    /// The key's id.
    pub id: String,
    /// The app's name.
    pub app: String,
    /// A pin,
    pub pin: Option<String>,
    /// or a token.
    pub token: Option<String>,
}

impl SealVector {
    /// The key's bytes.
    pub fn key(&self) -> Vec<u8> {
        bytes(&self.key)
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("a byte"))
        .collect()
}

/// Shares and the runs of slots they become.
#[derive(Debug, Deserialize)]
pub struct LayoutVector {
    /// Names and weights in percent, without the stable one, which is called `stable`.
    pub others: Vec<(String, f64)>,
    /// Where each run ends (exclusive), and whose it is.
    pub runs: Vec<(u32, String)>,
}

/// All vectors of slots.
pub fn slots() -> Vec<SlotVector> {
    serde_json::from_str(include_str!("../../vectors/slots.json")).expect("slots.json is read")
}

/// All vectors of first slots.
pub fn initial() -> Vec<InitialVector> {
    serde_json::from_str(include_str!("../../vectors/initial.json")).expect("initial.json is read")
}

/// All vectors of seals.
pub fn seals() -> Vec<SealVector> {
    serde_json::from_str(include_str!("../../vectors/seals.json")).expect("seals.json is read")
}

/// All vectors of layouts.
pub fn layouts() -> Vec<LayoutVector> {
    serde_json::from_str(include_str!("../../vectors/layouts.json")).expect("layouts.json is read")
}
