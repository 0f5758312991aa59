//! What a call would cost and which limits it would meet, by the very steps that admit one, and
//! without effect: nothing is held, sent, learned or written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use tollgate_accounting::{
    Amounts, Facets, Fit, Markup, Money, PriceCard, PriceError, Rounding, ServiceTier, Trial, Usage,
};
use tollgate_providers::{BadRequest, Bounds, Dialect, Task, gemini_body};

use super::admit;
use super::planning::{Candidate, Planner};
use super::{CallError, Operation, Runtime, Sizes};
use crate::clock;
use crate::ledger::{Counted, Refused, own_classes};
use crate::routing::{Exclusion, Order, Reason, Target};
use crate::tenants::{Caller, Holds, Priority};

/// What a call would come to.
pub struct Quote {
    /// How the targets were put in order.
    pub order: Order,
    /// Where it would be tried, in that order.
    pub offers: Vec<Offer>,
    /// Where it would not be tried.
    pub left_out: Vec<LeftOut>,
    /// The cap on the output of each choice.
    pub cap: u64,
    /// Whether that cap is not the client's own.
    pub cap_is_ours: bool,
    /// How the account's calls are held.
    pub holds: Holds,
    /// The most that it can come to, wherever it is tried: what a strict hold takes.
    pub worst: Amounts,
    /// What each limit on the path says to that.
    pub fits: Vec<Fit>,
    /// What would happen if it were sent now.
    pub verdict: Result<Taken, Refused>,
}

/// A target that would not be tried.
pub struct LeftOut {
    /// The provider.
    pub provider: Arc<str>,
    /// The provider's model.
    pub model: Arc<str>,
    /// Why not, for programs.
    pub name: &'static str,
    /// Why not, for people.
    pub why: String,
}

impl LeftOut {
    fn new(target: &Target, why: &Exclusion) -> LeftOut {
        let (provider, model) = (target.provider_name.clone(), target.model.clone());
        LeftOut { provider, model, name: why.name(), why: why.to_string() }
    }
}

/// What a call would be at one target.
pub struct Offer {
    /// The provider.
    pub provider: Arc<str>,
    /// The provider's model.
    pub model: Arc<str>,
    /// Its price.
    pub card: Arc<PriceCard>,
    /// The cheaper tier that it would be asked for in, of a call that can wait.
    pub tier: Option<ServiceTier>,
    /// The input as this model counts it.
    pub input: Counted,
    /// The most that it can cost, markup included, as the likely case.
    pub worst: Money,
    /// What it probably costs: the input as it is billed, and the usual output.
    pub likely: Money,
    /// The output tokens of the likely case.
    pub likely_output: u64,
    /// Whether these were learned from replies, rather than taken by default.
    pub learned: bool,
    /// Why it stands where it does.
    pub reason: Reason,
}

/// How it would be admitted.
pub struct Taken {
    /// What would be held.
    pub held: Amounts,
    /// The cap that would be sent, where it is not the client's own.
    pub cap: Option<u64>,
}

/// Members by which Responses are told from embeddings, which have an `input` too.
const OF_RESPONSES: [&str; 14] = [
    "instructions",
    "max_output_tokens",
    "text",
    "reasoning",
    "tools",
    "stream",
    "store",
    "temperature",
    "top_p",
    "include",
    "metadata",
    "truncation",
    "previous_response_id",
    "prompt",
];
/// Members by which Anthropic's messages are told from OpenAI's.
const OF_MESSAGES: [&str; 4] = ["system", "stop_sequences", "thinking", "anthropic_version"];

/// A request that is to be quoted, with the dialect it is written in.
pub struct Asked<'a> {
    dialect: Dialect,
    body: Cow<'a, [u8]>,
}

impl<'a> Asked<'a> {
    /// Tells from its members which endpoint the request is for. One with no more than a model and a
    /// text as `input` is a moderation where its model is called one, and else asks for embeddings;
    /// `endpoint` says which where the name does not. Google's has its model in the body, for want of
    /// an address.
    ///
    /// # Errors
    /// What is no request, or an `endpoint` other than those that need to be told.
    pub fn of(
        body: &'a [u8],
        bounds: &Bounds,
        endpoint: Option<&str>,
    ) -> Result<Asked<'a>, BadRequest> {
        let said = match endpoint {
            None => None,
            Some("moderations") => Some(Dialect::OpenAiModerations),
            Some("embeddings") => Some(Dialect::OpenAiEmbeddings),
            Some("images.generations") => Some(Dialect::OpenAiImages),
            Some("audio.speech") => Some(Dialect::OpenAiSpeech),
            Some(_) => {
                let message = "`endpoint` is moderations, embeddings, images.generations or \
                               audio.speech: others are told apart";
                return Err(BadRequest::field("endpoint", message));
            }
        };
        if let Some(dialect) = said {
            return Ok(Asked { dialect, body: body.into() });
        }
        // What cannot be read here is told by the reader of chats, in its own words.
        let members: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(body).unwrap_or_default();
        let has = |names: &[&str]| names.iter().any(|name| members.contains_key(*name));
        let items = members.get("input").is_some_and(|raw| raw.get().starts_with("[{"));
        if has(&["contents"]) {
            return Asked::of_google(&members, bounds);
        }
        let dialect = match () {
            () if has(&["documents"]) => Dialect::Rerank,
            () if has(&["messages"]) && has(&OF_MESSAGES) => Dialect::AnthropicMessages,
            () if has(&["messages"]) => Dialect::OpenAiChat,
            () if items || has(&OF_RESPONSES) => Dialect::OpenAiResponses,
            () if has(&["input"]) && judges(&members) => Dialect::OpenAiModerations,
            () if has(&["input"]) => Dialect::OpenAiEmbeddings,
            () if members.get("prompt").is_some_and(|raw| !raw.get().starts_with('{')) => {
                Dialect::OpenAiCompletions
            }
            () => Dialect::OpenAiChat,
        };
        Ok(Asked { dialect, body: body.into() })
    }

    fn of_google(
        members: &BTreeMap<Cow<'_, str>, &RawValue>,
        bounds: &Bounds,
    ) -> Result<Asked<'a>, BadRequest> {
        let model: Option<String> =
            members.get("model").and_then(|raw| serde_json::from_str(raw.get()).ok());
        let missing = || BadRequest::field("model", "`model` is missing");
        let model = model.filter(|model| !model.is_empty()).ok_or_else(missing)?;
        let rest: BTreeMap<_, _> = members.iter().filter(|(name, _)| *name != "model").collect();
        let rest = serde_json::to_vec(&rest).unwrap_or_default();
        let body = gemini_body(&rest, bounds, &model, false)?.into();
        Ok(Asked { dialect: Dialect::GeminiGenerateContent, body })
    }

    /// The request as its endpoint reads it.
    pub fn operation(&self, bounds: &Bounds) -> Result<Operation<'_>, BadRequest> {
        if self.dialect == Dialect::Rerank {
            let request = Dialect::decode_task(&self.body, bounds, Task::Rank)?;
            return Ok(Operation::Task(Box::new(request)));
        }
        if self.dialect == Dialect::OpenAiModerations {
            let request = Dialect::decode_task(&self.body, bounds, Task::Moderate)?;
            return Ok(Operation::Task(Box::new(request)));
        }
        if matches!(self.dialect, Dialect::OpenAiImages | Dialect::OpenAiSpeech) {
            let request = self.dialect.decode_media(&self.body, bounds)?;
            return Ok(Operation::Media(Box::new(request)));
        }
        if self.dialect == Dialect::OpenAiEmbeddings {
            let request = self.dialect.decode_embeddings(&self.body, bounds)?;
            return Ok(Operation::Embeddings(Box::new(request)));
        }
        Ok(Operation::Chat(Box::new(self.dialect.decode_chat(&self.body, bounds)?)))
    }
}

/// Whether the model's name says that it judges: OpenAI's and Mistral's all do.
fn judges(members: &BTreeMap<Cow<'_, str>, &RawValue>) -> bool {
    members.get("model").is_some_and(|model| model.get().contains("moderation"))
}

/// Quotes a call, with what its targets must be tagged with and whether its client can wait. `trial`
/// says what a hold would meet now.
///
/// # Errors
/// Those for which the call itself would be refused before any limit is asked.
pub fn quote(
    runtime: &Runtime,
    sizes: &Sizes,
    caller: &Caller,
    (operation, required, defer): (&Operation<'_>, &[Arc<str>], bool),
    trial: impl Fn(&Facets<'_>, Amounts) -> Trial,
) -> Result<Quote, CallError> {
    let route = super::route(runtime, caller, operation)?;
    let (cap, ours) = admit::cap(&route, operation);
    // What a cache may save is left out: it is gone in minutes, and a quote may be kept.
    let at = clock::now();
    let planner = Planner {
        runtime,
        sizes,
        caller,
        required,
        priority: if defer { Priority::Low } else { caller.priority },
        operation,
        defer,
        cap,
        at,
        curious: false,
        warm: None,
    };
    let planned = planner.plan(&route)?;
    let plan = planned.candidates;
    let bound = cap.saturating_mul(operation.choices());

    let model = operation.model();
    let facets = Facets { model, endpoint: operation.endpoint(), prompt: None };
    let markup = caller.terms.markup;
    let worst = admit::ask(operation, &plan, markup, bound)?;
    let fits = trial(&facets, worst).fits;

    let likely = sizes.likely(caller, &plan, operation.choices());
    let verdict = admit::fit(caller.holds, operation, (cap, ours), likely, |output| {
        let held = admit::ask(operation, &plan, markup, output)?;
        trial(&facets, held).refusal.map_or(Ok(held), |refusal| Err(Refused::Limit(refusal)))
    });
    let offer = |candidate: &Candidate<'_>| {
        let learned = sizes.mean(candidate.target, &caller.account).is_some();
        offer(candidate, operation, markup, bound, learned).map_err(|_| Refused::Uncountable)
    };
    Ok(Quote {
        order: route.rules.order,
        offers: plan.iter().map(offer).collect::<Result<_, _>>()?,
        left_out: planned.left_out.iter().map(|(target, why)| LeftOut::new(target, why)).collect(),
        cap,
        cap_is_ours: ours && bound > 0,
        holds: caller.holds,
        worst,
        fits,
        verdict: verdict.map(|(held, cap)| Taken { held, cap }),
    })
}

fn offer(
    candidate: &Candidate<'_>,
    operation: &Operation<'_>,
    markup: Markup,
    bound: u64,
    learned: bool,
) -> Result<Offer, PriceError> {
    let Candidate { target, input, need, reason, .. } = candidate;
    let card = candidate.card();
    let likely_output = need.output_tokens;
    let (read, written) = own_classes(operation.endpoint());
    let usage = Usage::new().with(read, input.tokens).with(written, likely_output);
    Ok(Offer {
        provider: target.provider_name.clone(),
        model: target.model.clone(),
        card: card.clone(),
        tier: candidate.cheaper,
        input: *input,
        worst: markup.price_call(candidate.bound(operation, bound)?, Rounding::Up)?,
        likely: markup.price_call(card.cost(&usage, Rounding::HalfEven)?, Rounding::HalfEven)?,
        likely_output,
        learned,
        reason: *reason,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tollgate_accounting::{
        AccountSpec, Book, Class, Metric, PriceList, Rates, Tier, Timestamp, UnitPrice, Why,
    };

    use super::*;
    use crate::call::{OnClientGone, Site};
    use crate::routing::{Abilities, Route, Routes};
    use crate::tenants::Allowed;
    use crate::upstream::{Endpoint, Patience};

    const NOW: Timestamp = Timestamp::from_micros(1);

    fn target(model: &str, input: &str, output: &str) -> Target {
        let price = |text| UnitPrice::per_million(text).unwrap();
        let rates =
            Rates::new().with(Class::Input, price(input)).with(Class::Output, price(output));
        let card = PriceCard {
            version: format!("v/{model}"),
            source: "list".to_owned(),
            effective_from: Timestamp::from_micros(0),
            tiers: vec![Tier { above_input_tokens: 0, rates }],
            per_request: None,
        };
        Target {
            provider: 0,
            provider_name: "p".into(),
            model: model.into(),
            prices: Some(Arc::new(PriceList::of(Arc::new(card)))),
            family: tollgate_tokenizer::family("gpt-4o"),
            counted_as: "gpt-4o".into(),
            max_output_tokens: None,
            abilities: Abilities::default(),
            weight: 1,
            keys: 1,
            tags: Arc::default(),
            health: Arc::default(),
        }
    }

    fn runtime() -> Runtime {
        let mut routes = Routes::default();
        let targets = vec![target("dear", "2", "20"), target("cheap", "1", "10")];
        let mut route = Route::new(Order::Cheapest, targets);
        route.max_output_tokens = Some(1_000);
        routes.insert("fast".to_owned(), route);
        let site = Site {
            name: "p".into(),
            adapter: tollgate_providers::provider("demo").unwrap(),
            endpoint: Endpoint::in_process(Patience {
                connect: std::time::Duration::from_secs(1),
                first_byte: std::time::Duration::from_secs(1),
                idle: std::time::Duration::from_secs(1),
            }),
            on_client_gone: OnClientGone::Cancel,
            max_retries: 0,
            hand_over_batches: false,
        };
        Runtime {
            shadows: std::collections::HashMap::new(),
            routes,
            providers: vec![Arc::new(site)],
            price_ceiling: None,
            counting: Arc::default(),
            max_body_bytes: 1_000_000,
            max_calls: 10,
            bounds: Bounds::default(),
            lanes: None,
        }
    }

    fn quoted(holds: Holds, limits: &[&str], sizes: &Sizes, body: &str) -> Quote {
        let limits = limits.iter().map(|text| text.parse().unwrap()).collect();
        let spec = AccountSpec { path: "a".into(), zone: "UTC".into(), limits };
        let mut book = Book::new();
        book.configure(NOW, &[spec]).unwrap();
        let charged = book.account("a").unwrap();
        let caller = Caller {
            account: "a".into(),
            key: "k".into(),
            charged,
            charged_path: "a".into(),
            holds,
            models: Allowed::All,
            require: Arc::default(),
            terms: tollgate_accounting::Terms::default(),
            share: 1,
            priority: Priority::Normal,
            expires_at: None,
            run: None,
        };
        let bounds = Bounds::default();
        let asked = Asked::of(body.as_bytes(), &bounds, None).unwrap();
        let operation = asked.operation(&bounds).unwrap();
        let before = format!("{book:?}");
        let asked = RefCell::new(Vec::new());
        let trial = |facets: &Facets<'_>, ask: Amounts| {
            asked.borrow_mut().push(ask);
            book.trial(NOW, charged, facets, ask)
        };
        let what = (&operation, &*caller.require, false);
        let quote = quote(&runtime(), sizes, &caller, what, trial).unwrap();
        assert!(!asked.borrow().is_empty());
        assert_eq!(format!("{book:?}"), before);
        quote
    }

    const BODY: &str = r#"{"model":"fast","messages":[{"role":"user","content":"hi"}]}"#;

    #[test]
    fn the_worst_case_is_the_dearest_targets_and_each_offer_has_its_own() {
        let quote = quoted(Holds::Strict, &["$1 per day"], &Sizes::default(), BODY);
        let models: Vec<&str> = quote.offers.iter().map(|offer| &*offer.model).collect();
        assert_eq!(models, ["cheap", "dear"]);
        let input = i64::try_from(quote.worst.input_tokens).unwrap();
        let nanos = |offer: &Offer| (offer.worst.nanos(), offer.likely.nanos());
        let cheap = (input * 1_000 + 1_000 * 10_000, input * 1_000 + 256 * 10_000);
        let dear = (input * 2_000 + 1_000 * 20_000, input * 2_000 + 256 * 20_000);
        assert_eq!(quote.offers.iter().map(nanos).collect::<Vec<_>>(), [cheap, dear]);
        assert_eq!(quote.worst.cost.nanos(), dear.0);
        assert_eq!((quote.cap, quote.cap_is_ours), (1_000, true));
        assert_eq!(quote.fits[0].remains(), Some(1_000_000_000 - dear.0));
        let taken = quote.verdict.unwrap_or_else(|_| panic!("refused"));
        assert_eq!((taken.held, taken.cap), (quote.worst, Some(1_000)));
    }

    #[test]
    fn what_was_learned_is_the_likely_case_and_is_not_learned_from_a_quote() {
        let sizes = Sizes::default();
        assert!(!quoted(Holds::Adaptive, &[], &sizes, BODY).offers[0].learned);
        sizes.observe(&target("cheap", "1", "10"), &Arc::from("a"), 40);
        let quote = quoted(Holds::Adaptive, &[], &sizes, BODY);
        assert!(quote.offers[0].learned && !quote.offers[1].learned);
        assert!((38..=42).contains(&quote.offers[0].likely_output));
        // Of the other nothing is known but this.
        assert!((38..=42).contains(&quote.offers[1].likely_output));
    }

    #[test]
    fn the_verdict_is_what_would_happen_though_the_worst_case_does_not_fit() {
        let limits = ["700 output tokens per day"];
        let strict = quoted(Holds::Strict, &limits, &Sizes::default(), BODY);
        assert!(strict.fits[0].refusal.is_some() && strict.fits[0].remains().is_none());
        let Err(Refused::Limit(refusal)) = strict.verdict else { panic!("admitted") };
        assert_eq!((refusal.why, refusal.metric), (Why::Limit, Some(Metric::OutputTokens)));
        assert_eq!(refusal.asked, 1_000);

        let whole = quoted(Holds::Adaptive, &limits, &Sizes::default(), BODY);
        assert!(whole.fits[0].refusal.is_some());
        let taken = whole.verdict.unwrap_or_else(|_| panic!("refused"));
        assert_eq!((taken.held.output_tokens, taken.cap), (500, Some(500)));

        let body = BODY.replacen('{', r#"{"stream":true,"#, 1);
        let stream = quoted(Holds::Adaptive, &limits, &Sizes::default(), &body);
        let taken = stream.verdict.unwrap_or_else(|_| panic!("refused"));
        assert_eq!((taken.held.output_tokens, taken.cap), (256, Some(1_000)));
    }

    #[test]
    fn a_request_is_read_as_its_endpoint_would() {
        let cases = [
            (r#"{"model":"m","input":"x"}"#, Some("embeddings")),
            (r#"{"model":"m","input":"x","messages":[]}"#, None),
            (BODY, Some("chat.completions")),
            (r#"{"model":"m"}"#, None),
            ("[", None),
            ("", None),
        ];
        for (body, expected) in cases {
            let bounds = Bounds::default();
            let asked = Asked::of(body.as_bytes(), &bounds, None);
            let endpoint = asked.and_then(|asked| Ok(asked.operation(&bounds)?.endpoint()));
            assert_eq!(endpoint.ok(), expected, "{body}");
        }
    }
}
