//! Embeddings of the demo: unit vectors that depend on nothing but the input.

use super::seed::Seed;
use super::{Call, Response, whole};
use crate::dialect::json::{Object, array};
use crate::unified::{EmbeddingInput, EmbeddingsRequest, VectorFormat};
use crate::vectors::pack;

const DIMENSIONS: u32 = 256;

/// Answers a request for embeddings.
pub(super) fn respond(call: &Call<'_>, req: &EmbeddingsRequest<'_>) -> Response {
    let dimensions = req.dimensions.unwrap_or(DIMENSIONS).min(4_096);
    let tokens: u64 = req
        .input
        .iter()
        .map(|input| match input {
            EmbeddingInput::Text(text) => (call.count)(text),
            EmbeddingInput::Tokens(tokens) => tokens.len() as u64,
        })
        .sum();
    let mut out = Vec::new();
    let mut top = Object::open(&mut out);
    top.str("object", "list");
    array(top.key("data"), req.input.iter().enumerate(), |out, (i, input)| {
        let vector = vector(input, dimensions);
        let mut object = Object::open(out);
        object.str("object", "embedding").num("index", i as u64);
        match req.format {
            VectorFormat::Float => object.value("embedding", &vector),
            VectorFormat::Base64 => object.str("embedding", &pack(&vector)),
        };
        object.close();
    });
    top.str("model", &req.model);
    let mut usage = top.object("usage");
    usage.num("prompt_tokens", tokens).num("total_tokens", tokens);
    usage.close();
    top.close();
    whole(out)
}

fn vector(input: &EmbeddingInput<'_>, dimensions: u32) -> Vec<f32> {
    let bytes = match input {
        EmbeddingInput::Text(text) => text.as_bytes().to_vec(),
        EmbeddingInput::Tokens(tokens) => tokens.iter().flat_map(|t| t.to_le_bytes()).collect(),
    };
    let mut seed = Seed::of(&[&bytes]);
    let raw: Vec<f32> = (0..dimensions).map(|_| seed.below(2_001) as f32 - 1_000.0).collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt().max(1.0);
    raw.into_iter().map(|x| x / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_unit_length_and_depend_on_the_input_only() {
        let a = vector(&EmbeddingInput::Text("a".into()), 64);
        assert_eq!(a, vector(&EmbeddingInput::Text("a".into()), 64));
        assert_ne!(a, vector(&EmbeddingInput::Text("b".into()), 64));
        assert!((a.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    }
}
