//! Pictures, speech and recordings of the demo: a dot, silence, and what might have been said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::answer::sentence;
use super::seed::Seed;
use super::{Body, Call, Paced, Response, whole};
use crate::dialect::json::{Object, array};
use crate::media::seconds;
use crate::unified::{BadRequest, MediaRequest, Medium, Pictures, Quality, Recording, Speech};

/// A transparent dot.
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// Letters that are read in a second.
const READ: u64 = 15;

/// Answers such a request.
pub(super) fn respond(call: &Call<'_>, req: &MediaRequest<'_>) -> Result<Response, BadRequest> {
    match &req.medium {
        Medium::Pictures(pictures) => Ok(draw(call, pictures)),
        Medium::Speech(speech) => speak(call, speech),
        Medium::Recording(recording) => Ok(hear(call, recording)),
    }
}

/// At what gpt-image-1 takes for a square.
fn draw(call: &Call<'_>, pictures: &Pictures<'_>) -> Response {
    let each = match pictures.quality {
        Quality::Low => 272,
        Quality::Medium => 1_056,
        Quality::High => 4_160,
    };
    let text = (call.count)(&pictures.prompt) * pictures.n;
    let (seen, output) = (1_000 * pictures.from * pictures.n, each * pictures.n);
    let input = text + seen;
    let mut out = Vec::new();
    let mut top = Object::open(&mut out);
    top.num("created", call.created);
    array(top.key("data"), 0..pictures.n, |out, _| {
        let mut object = Object::open(out);
        object.str("b64_json", DOT);
        object.close();
    });
    let mut usage = top.object("usage");
    usage.num("input_tokens", input).num("output_tokens", output);
    usage.num("total_tokens", input + output);
    let mut details = usage.object("input_tokens_details");
    details.num("text_tokens", text).num("image_tokens", seen);
    details.close();
    usage.close();
    top.close();
    whole(out)
}

/// In events, the last with what was used, as it is asked for.
fn speak(call: &Call<'_>, speech: &Speech<'_>) -> Result<Response, BadRequest> {
    let length = (speech.text.chars().count() as u64).div_ceil(READ).max(1);
    let sound = match speech.kind {
        "audio/wav" => silence(length),
        "audio/pcm" => vec![0; usize::try_from(length * 48_000).unwrap_or(0)],
        // 26.1 ms in 417 bytes.
        "audio/mpeg" => [&[0xff, 0xfb, 0x90, 0x00][..], &[0; 413]]
            .concat()
            .repeat(usize::try_from(length * 1_000 / 26).unwrap_or(0)),
        _ => {
            return Err(BadRequest::field("response_format", "the demo speaks mp3, wav and pcm"));
        }
    };
    let (input, output) = ((call.count)(&speech.text), length * 20);
    let frame = |json: String| Paced { after: 0, frame: Bytes::from(format!("data: {json}\n\n")) };
    // Whole groups of three bytes, so that the pieces are one text.
    let mut frames: Vec<Paced> = sound
        .chunks(3 * 4_096)
        .map(|piece| {
            let audio = STANDARD.encode(piece);
            frame(format!("{{\"type\":\"speech.audio.delta\",\"audio\":\"{audio}\"}}"))
        })
        .collect();
    frames.push(frame(format!(
        "{{\"type\":\"speech.audio.done\",\"usage\":{{\"input_tokens\":{input},\
         \"output_tokens\":{output},\"total_tokens\":{}}}}}",
        input + output
    )));
    let headers = vec![("content-type", "text/event-stream".into())];
    Ok(Response { status: 200, headers, after: 0, body: Body::Stream(frames) })
}

/// So many seconds of it, 16-bit at 8 kHz.
fn silence(seconds: u64) -> Vec<u8> {
    let length = u32::try_from(seconds.saturating_mul(16_000)).unwrap_or(0);
    let mut out = b"RIFF".to_vec();
    out.extend((length + 36).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    out.extend(length.to_le_bytes());
    out.resize(44 + length as usize, 0);
    out
}

/// A sentence that depends on the recording alone.
fn hear(call: &Call<'_>, recording: &Recording<'_>) -> Response {
    let text = sentence(&mut Seed::of(&[recording.file]));
    let prompt = recording.prompt.map_or(0, |prompt| (call.count)(prompt));
    let heard = seconds(recording.file).unwrap_or(recording.file.len() as u64 / 2_000 + 1) * 10;
    let written = (call.count)(&text);
    let mut out = Vec::new();
    let mut top = Object::open(&mut out);
    top.str("text", &text);
    let mut usage = top.object("usage");
    usage.str("type", "tokens").num("input_tokens", heard + prompt);
    let mut details = usage.object("input_token_details");
    details.num("text_tokens", prompt).num("audio_tokens", heard);
    details.close();
    usage.num("output_tokens", written).num("total_tokens", heard + prompt + written);
    usage.close();
    top.close();
    whole(out)
}
