//! The Unicode classes as a two-stage table: the block of a code point, then its class.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Writes the two stages and returns the constants that include them.
pub(crate) fn arrange(ranges: &str, out: &Path) -> Result<String, Box<dyn Error>> {
    let mut classes = vec![0_u8; 0x11_0000];
    for line in ranges.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [first, last, class] = words[..] else { return Err("a malformed range".into()) };
        let first = usize::from_str_radix(first, 16)?;
        let last = usize::from_str_radix(last, 16)?;
        // The order of `classes::Class`; the ninth is the first with a mark.
        let class = "pulomnsry".find(class).ok_or("an unknown class")?;
        classes[first..=last].fill(class as u8);
    }
    let (mut stage1, mut stage2) = (Vec::new(), Vec::new());
    let mut seen = HashMap::new();
    for block in classes.chunks_exact(256) {
        let next = seen.len();
        let index = *seen.entry(block).or_insert_with(|| {
            stage2.extend_from_slice(block);
            next
        });
        stage1.push(u8::try_from(index)?);
    }
    fs::write(out.join("classes.1"), stage1)?;
    fs::write(out.join("classes.2"), stage2)?;
    Ok(String::new())
}
