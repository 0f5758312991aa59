//! Embeddings of the demo: unit vectors that depend on nothing but the input.

use super::seed::Seed;
use super::{Body, Call, Response};
use crate::dialect::json::{Object, array, put_str};
use crate::unified::{EmbeddingInput, EmbeddingsRequest, VectorFormat};

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
            VectorFormat::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|f| f.to_le_bytes()).collect();
                put_str(object.key("embedding"), &base64(&bytes));
                &mut object
            }
        };
        object.close();
    });
    top.str("model", &req.model);
    let mut usage = top.object("usage");
    usage.num("prompt_tokens", tokens).num("total_tokens", tokens);
    usage.close();
    top.close();
    let headers = vec![("content-type", "application/json".into())];
    Response { status: 200, headers, after: 0, body: Body::Whole(out) }
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

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_everyone_writes_it() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn vectors_have_unit_length_and_depend_on_the_input_only() {
        let a = vector(&EmbeddingInput::Text("a".into()), 64);
        assert_eq!(a, vector(&EmbeddingInput::Text("a".into()), 64));
        assert_ne!(a, vector(&EmbeddingInput::Text("b".into()), 64));
        assert!((a.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    }
}
