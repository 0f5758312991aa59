use super::*;

fn open(body: &str) -> Option<Parcel> {
    Parcel::open(body.as_bytes(), Lists::Embeddings)
}

#[test]
fn requests_that_differ_in_their_list_alone_are_joined_in_order() {
    let one = open(r#"{"model":"m","input":"a\"b","dimensions":3}"#).unwrap();
    let other = open(r#"{"model":"m","input":[ "c" , "d" ],"dimensions":3}"#).unwrap();
    assert_eq!(one.terms(), other.terms());
    assert_eq!((one.items(), other.items()), (1, 2));
    let joined = String::from_utf8(join([&one, &other].into_iter())).unwrap();
    assert_eq!(joined, r#"{"model":"m","input":["a\"b","c","d"],"dimensions":3}"#);
    let tokens = open(r#"{"model":"m","input":[1, 2],"dimensions":3}"#).unwrap();
    let more = open(r#"{"model":"m","input":[[3],[4,5]],"dimensions":3}"#).unwrap();
    assert_ne!(one.terms(), tokens.terms());
    assert_eq!(tokens.terms(), more.terms());
    let joined = String::from_utf8(join([&tokens, &more].into_iter())).unwrap();
    assert_eq!(joined, r#"{"model":"m","input":[[1, 2],[3],[4,5]],"dimensions":3}"#);
}

#[test]
fn what_is_no_plain_list_is_not_joined() {
    for body in [
        "",
        "{}",
        r#"{"input":[]}"#,
        r#"{"input":{"a":1}}"#,
        r#"{"input":["a",[1]]}"#,
        r#"{"input":"a","input":"b"}"#,
    ] {
        assert_eq!(open(body), None, "{body}");
    }
    let parts = r#"{"input":[{"type":"text","text":"a"}]}"#;
    assert_eq!(Parcel::open(parts.as_bytes(), Lists::Moderations), None);
    let tokens = r#"{"input":[1,2]}"#;
    assert_eq!(Parcel::open(tokens.as_bytes(), Lists::Moderations), None);
}

const REPLY: &str = r#"{"object":"list","data":[{"embedding":[2],"index":1},
    {"embedding":[1],"index":0},{"index":2,"embedding":[3]}],"model":"m",
    "usage":{"prompt_tokens":10,"total_tokens":10,"cost":0.5}}"#;

fn shares(of: &[(usize, u64)]) -> Vec<Share> {
    of.iter().map(|(items, tokens)| Share { items: *items, tokens: *tokens }).collect()
}

#[test]
fn each_part_has_its_own_results_numbered_from_nothing_and_its_share_of_the_usage() {
    let parts =
        part(REPLY.as_bytes(), Lists::Embeddings, &shares(&[(1, 3), (2, 4)]), |_| 0).unwrap();
    let parts: Vec<String> =
        parts.into_iter().map(|part| String::from_utf8(part).unwrap()).collect();
    assert_eq!(
        parts,
        [
            r#"{"object":"list","data":[{"embedding":[1],"index":0}],"model":"m","usage":{"prompt_tokens":4,"total_tokens":4}}"#,
            r#"{"object":"list","data":[{"embedding":[2],"index":0},{"index":1,"embedding":[3]}],"model":"m","usage":{"prompt_tokens":6,"total_tokens":6}}"#,
        ]
    );
}

#[test]
fn a_reply_that_has_not_what_was_asked_for_is_nobodys() {
    let cases: [(&str, &[(usize, u64)]); 5] = [
        (REPLY, &[(1, 1), (1, 1)]),
        (r#"{"data":[{"index":0},{"index":0}]}"#, &[(1, 1), (1, 1)]),
        (r#"{"data":[{"index":1},{"index":2}]}"#, &[(1, 1), (1, 1)]),
        (r#"{"data":[{"index":0},{}]}"#, &[(1, 1), (1, 1)]),
        (r#"{"error":{"message":"no"},"data":[{},{}]}"#, &[(1, 1), (1, 1)]),
    ];
    for (reply, of) in cases {
        assert!(part(reply.as_bytes(), Lists::Embeddings, &shares(of), |_| 0).is_err(), "{reply}");
    }
    let plain = r#"{"id":"x","results":[{"flagged":true},{"flagged":false}]}"#;
    let parts =
        part(plain.as_bytes(), Lists::Moderations, &shares(&[(1, 1), (1, 1)]), |_| 0).unwrap();
    assert_eq!(parts[1], br#"{"id":"x","results":[{"flagged":false}]}"#);
}

#[test]
fn of_texts_that_are_completed_each_has_its_own_and_what_was_written_is_split_by_the_texts() {
    let open = |body: &str| Parcel::open(body.as_bytes(), Lists::Completions);
    let one = open(r#"{"model":"m","prompt":"a","max_tokens":5}"#).unwrap();
    let other = open(r#"{"model":"m","prompt":"b c","max_tokens":5}"#).unwrap();
    let joined = String::from_utf8(join([&one, &other].into_iter())).unwrap();
    assert_eq!(joined, r#"{"model":"m","prompt":["a","b c"],"max_tokens":5}"#);
    assert_eq!(open(r#"{"model":"m","prompt":[1,2]}"#), None);
    assert_eq!(open(r#"{"model":"m","messages":[]}"#), None);
    let reply = r#"{"id":"x","choices":[{"text":"x y z","index":1,"finish_reason":"length"},
        {"text":"w","index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":10,
        "completion_tokens":7,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":9},
        "completion_tokens_details":null}}"#;
    let words = |text: &str| text.split_whitespace().count() as u64;
    let parts = part(reply.as_bytes(), Lists::Completions, &shares(&[(1, 1), (1, 2)]), words);
    let parts: Vec<String> =
        parts.unwrap().into_iter().map(|part| String::from_utf8(part).unwrap()).collect();
    assert_eq!(
        parts,
        [
            r#"{"id":"x","choices":[{"text":"w","index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{}}}"#,
            r#"{"id":"x","choices":[{"text":"x y z","index":0,"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":6},"completion_tokens_details":{}}}"#,
        ]
    );
    // A usage that is not of both sides is nobody's: each call is counted for itself.
    let bare =
        r#"{"choices":[{"text":"w","index":0},{"text":"v","index":1}],"usage":{"total_tokens":3}}"#;
    let parts =
        part(bare.as_bytes(), Lists::Completions, &shares(&[(1, 1), (1, 1)]), words).unwrap();
    assert_eq!(parts[1], br#"{"choices":[{"text":"v","index":0}]}"#);
}

#[test]
fn a_split_sums_up_and_is_never_a_token_off() {
    let cases: [(u64, &[u64], &[u64]); 7] = [
        (10, &[3, 4], &[4, 6]),
        (10, &[1, 1, 1], &[4, 3, 3]),
        (0, &[5, 1], &[0, 0]),
        (7, &[0, 0], &[4, 3]),
        (7, &[0, 9], &[0, 7]),
        (u64::MAX, &[u64::MAX, u64::MAX], &[u64::MAX / 2 + 1, u64::MAX / 2]),
        (5, &[], &[]),
    ];
    for (total, weights, parts) in cases {
        assert_eq!(split(total, weights), parts);
    }
    let mut seed = 7_u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for _ in 0..1_000 {
        let weights: Vec<u64> = (0..1 + next(70)).map(|_| next(9_000)).collect();
        let total = next(1_000_000);
        let all: u64 = weights.iter().sum();
        let parts = split(total, &weights);
        assert_eq!(parts.iter().sum::<u64>(), total);
        for (part, weight) in parts.iter().zip(&weights).filter(|_| all > 0) {
            let floor = u128::from(total) * u128::from(*weight) / u128::from(all);
            assert!((floor..=floor + 1).contains(&u128::from(*part)), "{part} of {total}");
        }
    }
}
