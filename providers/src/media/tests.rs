use tollgate_accounting::{Class, Usage};

use super::*;
use crate::form;
use crate::guard::Bounds;
use crate::unified::{Transcript, UsageReport};
use crate::{Dialect, Odd};

fn most(model: &str, more: &str) -> Option<u64> {
    let body = format!("{{\"model\":\"m\",\"prompt\":\"a harbour\"{more}}}");
    let request = Dialect::OpenAiImages.decode_media(body.as_bytes(), &Bounds::default()).unwrap();
    request.most_output(model)
}

#[test]
fn a_picture_is_bound_by_its_size_and_quality_and_by_the_dearest_where_the_model_chooses() {
    let square = ",\"size\":\"1024x1024\",\"quality\":\"low\"";
    assert_eq!(most("gpt-image-1", square), Some(272 + 1_024));
    assert_eq!(most("openai/gpt-image-1.5", square), Some(272 + 1_024));
    assert_eq!(most("gpt-image-1-mini", square), Some(688 + 1_024));
    let open = most("gpt-image-1", "");
    assert_eq!(open, Some(6_240 + 1_024));
    for same in [
        ",\"size\":\"auto\",\"quality\":\"auto\"",
        ",\"size\":null,\"quality\":\"hd\"",
        ",\"size\":\"9x9\"",
    ] {
        assert_eq!(most("gpt-image-1", same), open, "{same}");
    }
    assert_eq!(most("gpt-image-1-2025-04-23", ""), open);
    for unknown in ["dall-e-3", "gpt-image-2.5-flare", "gpt-image-10"] {
        assert_eq!(most(unknown, ""), None, "{unknown}");
    }
}

#[test]
fn a_picture_of_any_size_is_bound_by_the_published_calculation() {
    let high = |size: &str| {
        most("gpt-image-2", &format!(",\"size\":\"{size}\",\"quality\":\"high\"")).unwrap() - 1_024
    };
    // What the provider's calculator says: 7,024, 5,488 and 12,329.
    assert_eq!(high("1024x1024"), 7_024);
    assert!((5_488..=5_600).contains(&high("1536x1024")), "{}", high("1536x1024"));
    assert!((12_329..=12_600).contains(&high("3584x2048")), "{}", high("3584x2048"));
    // Beyond what it draws, and where it chooses, the most that it draws.
    let dearest = most("gpt-image-2", "").unwrap() - 1_024;
    assert_eq!(high("99999999999x99999999999"), dearest);
    assert!(high("3840x2160") <= dearest && high("1x1") <= dearest);
}

fn usage(json: &str) -> UsageReport {
    let body = format!("{{\"created\":1,\"data\":[],\"usage\":{json}}}");
    decode(Answer::Pictures { event: None }, body.as_bytes()).unwrap().usage
}

#[test]
fn what_was_drawn_is_told_apart_from_text() {
    let old = usage(
        "{\"input_tokens\":50,\"output_tokens\":4160,\"total_tokens\":4210,
          \"input_tokens_details\":{\"text_tokens\":10,\"image_tokens\":40}}",
    );
    let drawn = Usage::new().with(Class::Output, 0).with(Class::ImageOutput, 4160);
    assert_eq!(old.usage, drawn.with(Class::Input, 10).with(Class::ImageInput, 40));
    let new = usage(
        "{\"input_tokens\":10,\"output_tokens\":300,
          \"output_tokens_details\":{\"text_tokens\":28,\"image_tokens\":272}}",
    );
    let drawn = Usage::new().with(Class::Output, 28).with(Class::ImageOutput, 272);
    assert_eq!(new.usage, drawn.with(Class::Input, 10));
    assert!(new.odd.is_none());
}

#[test]
fn a_reply_that_does_not_say_says_nothing_and_one_that_is_none_is_an_error() {
    let unsaid = decode(Answer::Pictures { event: None }, b"{\"data\":[{\"b64_json\":\"\"}]}")
        .unwrap()
        .usage;
    assert!(unsaid.usage.is_empty() && unsaid.odd.is_none());
    assert!(usage("{\"output_tokens\":-1}").odd.has(Odd::NEGATIVE));
    assert!(usage("[]").odd.has(Odd::EMPTY));
    for broken in ["{\"error\":{\"message\":\"no\"}}", "{}", "<html>"] {
        assert!(decode(Answer::Pictures { event: None }, broken.as_bytes()).is_err(), "{broken}");
    }
}

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn speech(more: &str) -> Vec<u8> {
    format!("{{\"model\":\"m\",\"input\":\"read me, é\"{more}}}").into_bytes()
}

#[test]
fn speech_is_bound_by_its_characters_and_its_speed() {
    let most = |model: &str, more: &str| {
        let body = speech(more);
        let request = Dialect::OpenAiSpeech.decode_media(&body, &Bounds::default()).unwrap();
        (request.most_input(model, &words), request.most_output(model), request.in_tokens(model))
    };
    // Ten characters, a second each, and a little beside.
    assert_eq!(most("gpt-4o-mini-tts", ""), (Some((3 + 64, false)), Some(250 + 250), true));
    let slow = most("gpt-4o-mini-tts", ",\"speed\":0.25,\"instructions\":\"very slowly\"");
    assert_eq!(slow, (Some((5 + 64, false)), Some(40 * 25 + 250), true));
    // By the character, exactly, and nothing for what comes out.
    assert_eq!(most("tts-1-hd", ""), (Some((10, true)), Some(0), false));
    assert_eq!(most("other", "").1, None);
    for bad in [
        ",\"speed\":0.2",
        ",\"speed\":-1",
        ",\"speed\":\"1\"",
        ",\"stream_format\":\"x\"",
        ",\"response_format\":\"midi\"",
    ] {
        assert!(Dialect::OpenAiSpeech.decode_media(&speech(bad), &Bounds::default()).is_err());
    }
}

const SPOKEN: &str = "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAEC\"}\n\n\
    data: {\"type\":\"speech.audio.delta\",\"audio\":\"Aw==\"}\n\n";
const DONE: &str = "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":9,\
    \"output_tokens\":40,\"total_tokens\":49}}\n\n";

#[test]
fn speech_in_events_is_put_together_and_what_it_used_is_read() {
    let answer = |framed| Answer::Speech { kind: "audio/mpeg", framed };
    let body = format!("{SPOKEN}{DONE}");
    let sound = decode(answer(false), body.as_bytes()).unwrap();
    assert_eq!((sound.body.as_deref(), sound.kind), (Some(&[0, 1, 2, 3][..]), "audio/mpeg"));
    let used = Usage::new().with(Class::Input, 9).with(Class::Output, 0);
    assert_eq!(sound.usage.usage, used.with(Class::AudioOutput, 40));
    let events = decode(answer(true), body.as_bytes()).unwrap();
    assert_eq!((events.body, events.kind), (None, "text/event-stream"));
    assert_eq!(events.usage, sound.usage);

    let plain = decode(answer(false), b"ID3\x04").unwrap();
    assert_eq!((plain.body, plain.kind, plain.usage.usage.is_empty()), (None, "audio/mpeg", true));
    let error = "data: {\"error\":{\"message\":\"no\"}}\n\n";
    for broken in [SPOKEN, error, "data: {\"type\":\"speech.audio.delta\",\"audio\":\"!\"}\n\n", ""]
    {
        assert!(decode(answer(false), broken.as_bytes()).is_err(), "{broken}");
    }
}

fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, value) in fields {
        let head = "content-disposition: form-data; name=";
        body.push_str(&format!("--b\r\n{head}\"{name}\"\r\n\r\n{value}\r\n"));
    }
    format!("{body}--b--\r\n").into_bytes()
}

#[test]
fn a_recording_is_bound_by_its_length_and_by_what_the_model_reads() {
    let bounds = Bounds::default();
    let most = |model: &str, file: &str| {
        let body = form(&[("file", file), ("model", "m"), ("prompt", "two words")]);
        let request = Dialect::OpenAiTranscriptions.decode_media(&body, &bounds).unwrap();
        let input = request.most_input(model, &words).map(|(most, _)| most);
        (input, request.most_output(model))
    };
    let waves = format!(
        "RIFF    WAVEfmt \u{10}\0\0\0\u{1}\0\u{1}\0\0\u{10}\0\0    \u{2}\0\u{10}\0{}",
        "\0".repeat(81_000)
    );
    // Ten seconds at 8,192 bytes each.
    assert_eq!(most("gpt-4o-transcribe", &waves), (Some(10 * 20 + 2 + 64), Some(2_000)));
    assert_eq!(most("gpt-4o-mini-transcribe", "OggS"), (Some(16_000), Some(2_000)));
    assert_eq!(most("whisper-1", &waves), (Some(10), Some(0)));
    assert_eq!(most("whisper-1", "OggS"), (None, Some(0)));
    assert_eq!(most("other", &waves), (Some(10 * 50 + 2 + 64), None));
    let bad = |dialect: Dialect, fields: &[(&str, &str)]| {
        let body = form(&[&[("file", "x"), ("model", "m")], fields].concat());
        dialect.decode_media(&body, &bounds).unwrap_err().param
    };
    for (name, value) in [
        ("stream", "yes"),
        ("chunking_strategy", "auto"),
        ("response_format", "ass"),
        ("model", "again"),
    ] {
        assert_eq!(bad(Dialect::OpenAiTranscriptions, &[(name, value)]).as_deref(), Some(name));
    }
    let streamed = [("stream", "true"), ("response_format", "vtt")];
    assert_eq!(bad(Dialect::OpenAiTranscriptions, &streamed).as_deref(), Some("stream"));
    assert_eq!(bad(Dialect::OpenAiTranslations, &streamed[..1]).as_deref(), Some("stream"));
    assert!(Dialect::OpenAiTranslations.decode_media(&form(&[("model", "m")]), &bounds).is_err());
}

#[test]
fn a_transcript_says_tokens_or_seconds_and_is_written_as_the_client_reads_it() {
    let read = |want, by_second, body: &str| {
        decode(Answer::Transcript { want, by_second }, body.as_bytes()).unwrap()
    };
    let tokens = "{\"text\":\"hi\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,\
        \"input_token_details\":{\"text_tokens\":4,\"audio_tokens\":10},\"output_tokens\":3}}";
    let said = read(Transcript::Text, false, tokens);
    let used = Usage::new().with(Class::Input, 4).with(Class::AudioInput, 10);
    assert_eq!(said.usage.usage, used.with(Class::Output, 3));
    assert_eq!(said.body.as_deref(), Some(&b"hi\n"[..]));
    assert_eq!(said.kind, "text/plain; charset=utf-8");

    let long = "{\"text\":\"a \\\"b\\\"\",\"duration\":8.47}";
    let said = read(Transcript::Json, true, long);
    assert_eq!(said.usage.usage.get(Class::AudioInput), Some(9));
    assert_eq!(said.body.as_deref(), Some(&b"{\"text\":\"a \\\"b\\\"\"}"[..]));
    let seconds = "{\"text\":\"\",\"usage\":{\"type\":\"duration\",\"seconds\":27}}";
    let said = read(Transcript::AsItComes, true, seconds);
    assert_eq!((said.usage.usage.get(Class::AudioInput), said.body), (Some(27), None));
    // Seconds are no tokens, nor tokens seconds.
    assert!(read(Transcript::AsItComes, false, seconds).usage.usage.is_empty());
    assert!(read(Transcript::AsItComes, true, tokens).usage.usage.is_empty());
}

#[test]
fn subtitles_are_written_from_the_segments_to_the_millisecond() {
    let read = |want, body: &str| {
        let reply = decode(Answer::Transcript { want, by_second: true }, body.as_bytes())?;
        let text = String::from_utf8(reply.body.unwrap()).unwrap();
        Ok::<_, ProviderError>((text, reply.usage.usage.get(Class::AudioInput)))
    };
    let said = "{\"text\":\"a b c\",\"duration\":3725.2,\"segments\":[\
        {\"id\":0,\"start\":0.0,\"end\":1.5,\"text\":\" a\\n\\nb\"},\
        {\"id\":1,\"start\":3.319999933242798,\"end\":3725.0004,\"text\":\" --> \\u00e9\"}]}";
    let (text, seconds) = read(Transcript::Srt, said).unwrap();
    let first = "1\n00:00:00,000 --> 00:00:01,500\na b\n\n";
    assert_eq!(text, format!("{first}2\n00:00:03,320 --> 01:02:05,000\n-> é\n\n"));
    assert_eq!(seconds, Some(3_726), "what is charged is the recording, not its last word");
    let (text, seconds) = read(Transcript::Vtt, said).unwrap();
    let first = "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\na b\n\n";
    assert_eq!(text, format!("{first}00:00:03.320 --> 01:02:05.000\n-> é\n\n"));
    assert_eq!(seconds, Some(3_726));
    let silence = "{\"text\":\"\",\"duration\":2,\"segments\":[]}";
    assert_eq!(read(Transcript::Srt, silence).unwrap(), (String::new(), Some(2)));
    for broken in [
        "{\"text\":\"a\",\"duration\":2}",
        "{\"text\":\"a\",\"segments\":[{\"start\":-1,\"end\":2,\"text\":\"a\"}]}",
        "{\"text\":\"a\",\"segments\":[{\"start\":1,\"text\":\"a\"}]}",
    ] {
        assert!(read(Transcript::Srt, broken).is_err(), "{broken}");
    }
}

#[test]
fn a_model_that_does_not_tell_times_writes_no_subtitles_and_says_so() {
    let to = Target { model: "gpt-4o-transcribe", max_output_tokens: None, stream: false };
    for format in ["srt", "vtt"] {
        let body = form(&[("file", "x"), ("model", "m"), ("response_format", format)]);
        let request = Dialect::OpenAiTranscriptions.decode_media(&body, &Bounds::default());
        let bad = encode(&request.unwrap(), &to, true).unwrap_err();
        assert_eq!(bad.param.as_deref(), Some("response_format"));
        assert!(bad.message.contains("Whisper"), "{}", bad.message);
    }
}

#[test]
fn pictures_of_which_a_client_reads_events_are_asked_for_whole_and_without_those_on_the_way() {
    let to = Target { model: "gpt-image-1", max_output_tokens: None, stream: false };
    // The name of a field may be written with escapes.
    let json = r#"{"model":"m","str\u0065am":true,"prompt":"a","partial_images":2,"n":1}"#;
    let request = Dialect::OpenAiImages.decode_media(json.as_bytes(), &Bounds::default()).unwrap();
    let sent = encode(&request, &to, true).unwrap();
    assert_eq!(sent.body, br#"{"model":"gpt-image-1","prompt":"a","n":1}"#);
    assert_eq!(sent.dropped, ["partial_images"]);
    let answer = request.answer("gpt-image-1");
    let reply = "{\"created\": 7,\n \"data\": [{\n \"b64_json\": \"AA\"\n}],\n \"size\": \"1x1\",\n \
        \"usage\": {\n\"input_tokens\": 3, \"output_tokens\": 4}}";
    let read = decode(answer, reply.as_bytes()).unwrap();
    let text = String::from_utf8(read.body.unwrap()).unwrap();
    let kind = "image_generation.completed";
    assert_eq!(read.kind, "text/event-stream");
    assert!(text.starts_with(&format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"b64_json\":")));
    assert_eq!(text.matches('\n').count(), 3, "one frame: {text}");
    for rest in ["\"created_at\":7", "\"size\":\"1x1\"", "\"input_tokens\": 3"] {
        assert!(text.contains(rest), "{text}");
    }
    assert_eq!(read.usage.usage.get(Class::ImageOutput), Some(4));
}

#[test]
fn a_form_goes_out_with_the_model_and_a_format_that_tells_what_was_used() {
    let to = Target { model: "whisper-1", max_output_tokens: None, stream: false };
    let sent = |dialect: Dialect, fields: &[(&str, &str)]| {
        let body = form(fields);
        let request = dialect.decode_media(&body, &Bounds::default()).unwrap();
        let sent = encode(&request, &to, true).unwrap();
        assert!(sent.headers[0].1.starts_with("multipart/form-data; boundary="));
        let read = form::parts(&sent.body).unwrap();
        let text = |part: &form::Part<'_>| format!("{}={}", part.name, part.text().unwrap());
        (sent.path, read.iter().map(text).collect::<Vec<_>>().join("&"))
    };
    let asked = [("model", "up/w"), ("file", "x"), ("language", "de")];
    let (path, fields) = sent(Dialect::OpenAiTranslations, &asked);
    assert_eq!(path, "/audio/translations");
    assert_eq!(fields, "file=x&language=de&model=whisper-1&response_format=verbose_json");
    let asked = [("file", "x"), ("model", "up/w"), ("response_format", "text")];
    let (path, fields) = sent(Dialect::OpenAiTranscriptions, &asked);
    assert_eq!(path, "/audio/transcriptions");
    assert_eq!(fields, "file=x&model=whisper-1&response_format=json");
    let asked = [("file", "x"), ("model", "m"), ("response_format", "verbose_json")];
    let (_, fields) = sent(Dialect::OpenAiTranscriptions, &asked);
    assert_eq!(fields, "file=x&response_format=verbose_json&model=whisper-1");
    let times = ("timestamp_granularities[]", "word");
    let asked = [("file", "x"), ("model", "m"), times, ("response_format", "srt")];
    let (_, fields) = sent(Dialect::OpenAiTranscriptions, &asked);
    assert_eq!(fields, "file=x&model=whisper-1&response_format=verbose_json");
    let asked = [("file", "x"), ("model", "m"), ("stream", "true")];
    let (_, fields) = sent(Dialect::OpenAiTranscriptions, &asked);
    assert_eq!(fields, "file=x&model=whisper-1&response_format=json");
}

#[test]
fn pictures_made_from_others_are_bound_by_how_many_are_read_and_made() {
    let bounds = Bounds::default();
    let fields = [("image[]", "x"), ("image[]", "y"), ("mask", "z"), ("prompt", "two words")];
    let rest = [("model", "up/m"), ("n", "2"), ("size", "1024x1024"), ("quality", "low")];
    let body = form(&[&fields[..], &rest].concat());
    let request = Dialect::OpenAiEdits.decode_media(&body, &bounds).unwrap();
    assert_eq!((request.endpoint(), request.pieces()), ("images.edits", 2));
    let most = |model| request.most_input(model, &words).map(|(most, _)| most);
    assert_eq!(most("gpt-image-1.5"), Some(2 * (2 + 64 + 3 * 7_595)));
    assert_eq!(most("gpt-image-2"), Some(2 * (2 + 64 + 3 * 3_779)));
    assert_eq!(most("other"), None);
    assert_eq!(request.most_output("gpt-image-1.5"), Some(272 + 1_024));
    let to = Target { model: "gpt-image-1.5", max_output_tokens: None, stream: false };
    let sent = encode(&request, &to, true).unwrap();
    let names: Vec<_> = form::parts(&sent.body).unwrap().iter().map(|p| p.name).collect();
    assert_eq!(sent.path, "/images/edits");
    assert_eq!(names, ["image[]", "image[]", "mask", "prompt", "n", "size", "quality", "model"]);
    for (name, value) in [("n", "11"), ("stream", "2"), ("partial_images", "4"), ("prompt", "b")] {
        let body = form(&[&fields[..], &[("model", "m"), (name, value)]].concat());
        let bad = Dialect::OpenAiEdits.decode_media(&body, &bounds).unwrap_err();
        assert_eq!(bad.param.as_deref(), Some(name));
    }
    let streamed = [("model", "m"), ("image", "x"), ("prompt", "b"), ("stream", "true")];
    let partial = [("partial_images", "1")];
    let body = form(&[&streamed[..], &partial].concat());
    let request = Dialect::OpenAiEdits.decode_media(&body, &bounds).unwrap();
    let sent = encode(&request, &to, true).unwrap();
    let names: Vec<_> = form::parts(&sent.body).unwrap().iter().map(|p| p.name).collect();
    assert_eq!(
        (names, sent.dropped),
        (vec!["image", "prompt", "model"], vec!["partial_images".into()])
    );
    assert_eq!(request.answer("m"), Answer::Pictures { event: Some("image_edit.completed") });
    let body = form(&[&streamed[..], &[("n", "2")]].concat());
    let bad = Dialect::OpenAiEdits.decode_media(&body, &bounds).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("n"), "an event tells what one picture used");
    let none = form(&[("model", "m"), ("prompt", "b")]);
    let bad = Dialect::OpenAiEdits.decode_media(&none, &bounds).unwrap_err();
    assert_eq!(bad.param.as_deref(), Some("image"));
}
