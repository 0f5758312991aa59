//! Unmodified SDKs and frameworks against the gateway: the same files with the demo provider behind
//! it, with the scripted one, and with a mock of the providers that others wrote.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where by panicking")]
#![expect(clippy::panic, reason = "a test that cannot go on says why by panicking")]

#[path = "../harness/mod.rs"]
#[expect(dead_code, reason = "each kind of test uses its part of the harness")]
mod harness;
mod openapi;
mod suite;
mod target;

use harness::upstream::Upstream;
use suite::Suite;
use target::{Mock, Target};

#[tokio::test(flavor = "multi_thread")]
async fn sdks_work_with_the_scripted_provider() {
    for suite in Suite::ALL {
        let upstream = Upstream::start().await;
        Target::scripted(&upstream.url).run(suite).await;
        assert!(upstream.count() > 0, "{suite:?}");
    }
}

/// The scripted provider speaks Anthropic's wire to clients of OpenAI's, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn sdks_work_with_a_provider_of_another_dialect() {
    for suite in [Suite::OpenAi, Suite::Direct, Suite::Node] {
        let upstream = Upstream::start().await;
        Target::crossed(&upstream.url).run(suite).await;
        assert!(upstream.count() > 0, "{suite:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_work_with_the_demo_provider() {
    for suite in Suite::ALL {
        Target::demo().run(suite).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_gives_joined_calls_the_vectors_that_it_gives_single_ones() {
    let model = tokio::task::spawn_blocking(Mock::model).await.unwrap();
    Target::embedding(&model).run(Suite::Embedding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_work_with_a_mock_of_the_providers() {
    let mock = tokio::task::spawn_blocking(Mock::start).await.unwrap();
    for suite in [Suite::OpenAi, Suite::Direct, Suite::Frameworks, Suite::Node] {
        Target::mocked(&mock).run(suite).await;
    }
}
