//! Arranges the vocabularies and the Unicode classes into read-only tables, so that nothing is
//! parsed or allocated when a process starts. The vocabularies are first checked against the
//! published checksums of the official rank files.

#[path = "src/arrange/mod.rs"]
mod arrange;
#[path = "build/classes.rs"]
mod classes;
#[path = "src/hash.rs"]
mod hash;
#[path = "build/sha256.rs"]
mod sha256;
#[path = "build/vocabulary.rs"]
mod vocabulary;

use std::error::Error;
use std::path::Path;
use std::{env, fs};

/// Name, data file, and the SHA-256 of the official `.tiktoken` file it stands for.
const VOCABULARIES: [(&str, &str, &str); 2] = [
    ("O200K", "o200k_base", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
    ("CL100K", "cl100k_base", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let mut tables = String::new();
    for (mark, (constant, name, checksum)) in VOCABULARIES.into_iter().enumerate() {
        let file = format!("data/{name}.vocab");
        println!("cargo::rerun-if-changed={file}");
        let vocabulary = vocabulary::Vocabulary::read(&fs::read(&file)?)?;
        if vocabulary.official_checksum() != checksum {
            return Err(format!("{file} does not hold the official ranks").into());
        }
        tables.push_str(&vocabulary::arrange(&vocabulary, mark, constant, out)?);
    }
    println!("cargo::rerun-if-changed=data/classes.ranges");
    tables.push_str(&classes::arrange(&fs::read_to_string("data/classes.ranges")?, out)?);
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/arrange");
    println!("cargo::rerun-if-changed=src/hash.rs");
    println!("cargo::rerun-if-changed=build.rs");
    fs::write(out.join("tables.rs"), tables)?;
    Ok(())
}
