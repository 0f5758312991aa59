use tollgate_accounting::{Class, Usage};

use super::*;
use crate::guard::Bounds;
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
    assert_eq!(most("dall-e-3", ""), None);
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
    decode(format!("{{\"created\":1,\"data\":[],\"usage\":{json}}}").as_bytes()).unwrap()
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
    let unsaid = decode(b"{\"data\":[{\"b64_json\":\"\"}]}").unwrap();
    assert!(unsaid.usage.is_empty() && unsaid.odd.is_none());
    assert!(usage("{\"output_tokens\":-1}").odd.has(Odd::NEGATIVE));
    assert!(usage("[]").odd.has(Odd::EMPTY));
    assert!(decode(b"{\"error\":{\"message\":\"no\"}}").is_err());
    assert!(decode(b"{}").is_err() && decode(b"<html>").is_err());
}
