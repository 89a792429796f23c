//! The public vectors of slots and layouts: `tests/vectors/`, written by the code of `docs/assignment.md`.

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
        let digits = self.key.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("a byte"))
            .collect()
    }
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

/// All vectors of layouts.
pub fn layouts() -> Vec<LayoutVector> {
    serde_json::from_str(include_str!("../../vectors/layouts.json")).expect("layouts.json is read")
}
