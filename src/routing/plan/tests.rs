use tollgate_accounting::Money;

use super::*;
use crate::routing::health::Unready;

fn offer(nanos: i64, first_us: u64) -> Offer {
    let view = View { first_us, ..View::default() };
    Offer { cost: Some(Money::from_nanos(nanos)), weight: 1, view, ..Offer::default() }
}

fn order_of(plan: &Plan) -> Vec<usize> {
    plan.places.iter().map(|place| place.target).collect()
}

fn planned(order: Order, offers: &[Offer]) -> Vec<usize> {
    order_of(&plan(&Rules::of(order), offers, true, 7))
}

const BLEND: fn(u32, u32) -> Order = |cost, latency| Order::Blend { cost, latency };

#[test]
fn each_rule_orders_as_it_says() {
    let two = [offer(30, 5), offer(10, 900)];
    let three = [offer(30, 5), offer(10, 900), offer(20, 70)];
    assert_eq!(planned(Order::Ordered, &three), [0, 1, 2]);
    assert_eq!(planned(Order::Cheapest, &three), [1, 2, 0]);
    assert_eq!(planned(Order::Fastest, &two), [0, 1]);
    assert_eq!(planned(BLEND(1, 0), &three), [1, 2, 0]);
    assert_eq!(planned(BLEND(0, 1), &three), [0, 2, 1]);
    assert_eq!(planned(BLEND(100, 1), &three), [2, 1, 0]);
}

#[test]
fn a_target_whose_cost_is_not_known_is_the_last_of_the_cheapest() {
    let unknown = Offer { cost: None, ..offer(0, 0) };
    assert_eq!(planned(Order::Cheapest, &[unknown, offer(9, 0)]), [1, 0]);
}

#[test]
fn weights_are_the_shares_of_first_places() {
    let offers = [Offer { weight: 1, ..offer(1, 1) }, Offer { weight: 3, ..offer(1, 1) }];
    let mut firsts = [0_u32; 2];
    for chance in 0..4_000 {
        let plan = plan(&Rules::of(Order::Weighted), &offers, true, chance);
        assert_eq!(plan.places.len(), 2);
        firsts[plan.places[0].target] += 1;
    }
    assert!((900..1_100).contains(&firsts[0]), "{firsts:?}");
}

#[test]
fn the_slowest_of_three_is_never_first_and_the_fastest_not_always() {
    let offers = [offer(1, 900), offer(1, 100), offer(1, 200)];
    let mut firsts = [0_u32; 3];
    for chance in 0..3_000 {
        firsts[plan(&Rules::of(Order::Fastest), &offers, true, chance).places[0].target] += 1;
    }
    assert_eq!(firsts[0], 0);
    assert!((1_800..2_200).contains(&firsts[1]), "{firsts:?}");
}

#[test]
fn calls_in_flight_make_a_target_slower() {
    let mut busy = offer(1, 100);
    busy.view.in_flight = 9;
    assert_eq!(planned(Order::Fastest, &[busy, offer(1, 900)]), [1, 0]);
}

#[test]
fn time_is_that_of_this_calls_size() {
    let mut writes_slowly = Offer { output_tokens: 1_000, ..offer(1, 100) };
    writes_slowly.view.token_ns = 50_000_000;
    let mut writes_fast = Offer { output_tokens: 1_000, ..offer(1, 900_000) };
    writes_fast.view.token_ns = 1_000_000;
    let offers = |tokens| {
        [&writes_slowly, &writes_fast].map(|o| Offer { output_tokens: tokens, ..o.clone() })
    };
    assert_eq!(planned(Order::Fastest, &offers(1)), [0, 1]);
    assert_eq!(planned(Order::Fastest, &offers(1_000)), [1, 0]);
}

#[test]
fn a_warm_cache_wins_where_it_saves_a_quarter_and_is_not_too_slow() {
    let warm = |saves, us| Offer { saves: Some(Money::from_nanos(saves)), ..offer(60, us) };
    assert_eq!(planned(Order::Fastest, &[offer(50, 100), warm(20, 120)]), [1, 0]);
    assert_eq!(planned(Order::Fastest, &[offer(50, 100), warm(20, 126)]), [0, 1]);
    assert_eq!(planned(Order::Fastest, &[offer(50, 100), warm(18, 120)]), [0, 1]);
    assert_eq!(planned(Order::Ordered, &[offer(50, 100), warm(20, 120)]), [0, 1]);
    let mut rare = warm(20, 0);
    rare.weight = 0;
    assert_eq!(planned(Order::Weighted, &[offer(50, 0), rare]), [1, 0]);
}

#[test]
fn each_target_that_is_left_out_has_its_reason() {
    let unready = NotReady { why: Unready::Resting, until: 90 };
    let mut resting = offer(1, 1);
    resting.view.unready = Some(unready);
    let mut slow = offer(1, 5_000);
    slow.view.token_ns = 1;
    let cannot = Offer { unfit: Some(Exclusion::Cannot("embeddings")), ..offer(1, 1) };
    let offers = [offer(1, 1), resting, slow, cannot, offer(11, 1)];
    let rules = Rules {
        order: Order::Ordered,
        max_cost: Some(Money::from_nanos(10)),
        max_latency_us: Some(4_999),
    };
    let plan = plan(&rules, &offers, true, 0);
    assert_eq!(order_of(&plan), [0]);
    let names: Vec<_> = plan.left_out.iter().map(|out| (out.target, out.why.name())).collect();
    let expected = [(1, "limit"), (2, "latency_ceiling"), (3, "capability"), (4, "price_ceiling")];
    assert_eq!(names, expected);
    assert_eq!(plan.ready_at(), Some(unready));
}

#[test]
fn a_plan_is_bounded() {
    assert_eq!(planned(Order::Cheapest, &vec![offer(1, 1); 30]).len(), MOST_PLACES);
}
