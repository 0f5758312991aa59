//! What each family of models adds to the text of a chat, as data. Every constant says where it
//! comes from: "billed" is usage that providers reported, which the recordings' test checks.

use super::image;

/// What a chat comes to beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// Frames each message, its role included.
    pub(super) message: u64,
    /// A speaker's name, beside its text.
    pub(super) name: u64,
    /// Starts the reply.
    pub(super) priming: u64,
    /// How tools are shown to the model.
    pub(super) tools: Tools,
    /// Every call of a tool in the history, beside its name and arguments.
    pub(super) call: u64,
    /// The structured output's schema, beside its text; `None` where it isn't billed.
    pub(super) schema: Option<u64>,
    /// How pictures are counted, where it is known.
    pub(super) image: Option<image::Rule>,
}

/// How tools are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tools {
    /// As declarations in the form of TypeScript, with an amount around them, and less if a
    /// system message carries them.
    Declared { around: u64, with_system: u64 },
    /// As the JSON they came in, with an amount around it.
    Json { around: u64 },
}

/// The rules of the chat models of GPT-4o's kind: 3 a message and 1 for the role, 1 for a name, 3
/// to start the reply (the OpenAI cookbook; 511 of 523 plain requests billed so, the others cut
/// or hidden prompts). Tools as `namespace functions`, 9 around, 4 less behind a system message
/// (found by others, billed so for simple tools). 7 a call (billed). A small schema grows the
/// prompt by its compact text and up to 8 (billed).
const CHAT: Rules = Rules {
    message: 4,
    name: 1,
    priming: 3,
    tools: Tools::Declared { around: 9, with_system: 4 },
    call: 7,
    schema: Some(4),
    image: Some(image::Rule::Tiles { base: 85, tile: 170 }),
};

/// The reasoning models start the reply with 2 (billed, 31 of 33).
const REASONING: Rules = Rules { priming: 2, ..CHAT };

/// GPT-5 adds 80 to 95 to tools (billed).
const GPT_5: Rules = Rules {
    tools: Tools::Declared { around: 96, with_system: 4 },
    image: Some(image::Rule::Tiles { base: 70, tile: 140 }),
    ..REASONING
};

const fn patches(rules: Rules, hundredths: u64) -> Rules {
    Rules { image: Some(image::Rule::Patches { hundredths }), ..rules }
}

/// Other vendors: a few tokens around each message, tools as JSON. What they hide is learned from
/// their usage by the correction.
const OTHER: Rules = Rules {
    message: 3,
    name: 1,
    priming: 3,
    tools: Tools::Json { around: 0 },
    call: 7,
    schema: Some(0),
    image: None,
};

/// Claude frames a request with about 7 (billed), and 346 where it has tools (its vendor's page).
const CLAUDE: Rules = Rules {
    priming: 4,
    tools: Tools::Json { around: 346 },
    image: Some(image::Rule::Area { per_token: 750 }),
    ..OTHER
};

/// Gemini bills neither frames nor the schema (billed).
const GEMINI: Rules = Rules {
    message: 0,
    priming: 0,
    schema: None,
    image: Some(image::Rule::Squares { square: 258 }),
    ..OTHER
};

/// Models whose provider adds to the prompt what the request doesn't show, so that even plain
/// text is an estimate: they search by themselves, reword the system message, or write their own
/// (billed).
pub(super) fn is_odd(bare: &str) -> bool {
    bare.contains("-search")
        || bare.starts_with("gpt-oss")
        || bare.starts_with("o1-mini")
        || bare.starts_with("o1-preview")
}

/// Whether what frames a model's messages is known exactly: OpenAI's, not another vendor's.
pub(super) fn is_known(bare: &str) -> bool {
    crate::family::family(bare).exact
}

/// The first prefix that fits decides. Pictures: gpt-4o, gpt-4o-mini and gpt-5 by tiles, o4-mini,
/// gpt-5-mini, gpt-5-nano, gpt-4.1-mini and -nano by patches (billed); o1 and o3 by tiles of 75 and
/// 150, Claude by area, Gemini by squares of 258 (their vendors' pages).
const TABLE: &[(&str, Rules)] = &[
    ("gpt-3.5-turbo-0301", Rules { message: 5, ..CHAT }),
    ("gpt-4o-mini", Rules { image: Some(image::Rule::Tiles { base: 2833, tile: 5667 }), ..CHAT }),
    ("gpt-4.1-mini", patches(CHAT, 162)),
    ("gpt-4.1-nano", patches(CHAT, 246)),
    ("gpt-5-mini", patches(GPT_5, 120)),
    ("gpt-5-nano", patches(GPT_5, 150)),
    ("gpt-5", GPT_5),
    ("o4-mini", patches(REASONING, 172)),
    ("o1", Rules { image: Some(image::Rule::Tiles { base: 75, tile: 150 }), ..REASONING }),
    ("o3", Rules { image: Some(image::Rule::Tiles { base: 75, tile: 150 }), ..REASONING }),
    ("gpt", CHAT),
    ("chatgpt", CHAT),
    ("claude", CLAUDE),
    ("gemini", GEMINI),
    ("nova", Rules { message: 0, priming: 0, ..OTHER }),
    ("deepseek", Rules { message: 0, priming: 4, ..OTHER }),
];

/// The rules for a model's bare name, as [`crate::family::bare`] gives it.
pub(super) fn of(bare: &str) -> Rules {
    TABLE.iter().find(|(prefix, _)| bare.starts_with(prefix)).map_or(OTHER, |(_, rules)| *rules)
}
