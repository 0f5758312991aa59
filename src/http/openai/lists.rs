//! Lists as OpenAI's SDKs page through them: `limit`, `order` and `after` in, a page with its first and
//! last id out.

use serde_json::{Value, json};

use crate::http::Failed;
use crate::http::query::pairs;
use crate::ledger::Page;

/// How a list may be asked for.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// A page's length where none is asked for.
    pub(super) usual: usize,
    /// The longest page.
    pub(super) largest: usize,
    /// Whether its order may be asked for.
    pub(super) ordered: bool,
}

impl Rules {
    /// Which part of the list the query asks for. `further` takes what else the endpoint knows, and says
    /// whether it did.
    pub(super) fn read(
        self,
        query: &str,
        mut further: impl FnMut(&str, &str) -> bool,
    ) -> Result<Page, Failed> {
        let mut page = Page { limit: self.usual, after: None, oldest_first: false };
        for (name, value) in pairs(query) {
            match name.as_str() {
                "limit" => {
                    let limit = value.parse().ok().filter(|n| (1..=self.largest).contains(n));
                    let message = format!("limit is between 1 and {}", self.largest);
                    page.limit = limit.ok_or_else(|| Failed::parameter("limit", message))?;
                }
                "order" if self.ordered => {
                    page.oldest_first = match value.as_str() {
                        "asc" => true,
                        "desc" => false,
                        _ => return Err(Failed::parameter("order", "order is asc or desc")),
                    };
                }
                "after" => page.after = Some(value),
                other if further(other, &value) => {}
                other => {
                    return Err(Failed::parameter(other, format!("{other} is not supported here")));
                }
            }
        }
        Ok(page)
    }
}

/// The page of items that are all at hand, the oldest first.
pub(super) fn page_of(page: &Page, mut items: Vec<Value>) -> Result<Value, Failed> {
    if !page.oldest_first {
        items.reverse();
    }
    if let Some(after) = &page.after {
        let place = items.iter().position(|item| item["id"] == after.as_str());
        let message = format!("there is no item {after}");
        let place = place.ok_or_else(|| Failed::parameter("after", message))?;
        items.drain(..=place);
    }
    let has_more = items.len() > page.limit;
    items.truncate(page.limit);
    Ok(list_of(items, has_more))
}

/// A page as OpenAI's SDKs read it.
pub(super) fn list_of(data: Vec<Value>, has_more: bool) -> Value {
    let id = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    let (first_id, last_id) = (id(data.first()), id(data.last()));
    json!({
        "object": "list",
        "data": data,
        "first_id": first_id,
        "last_id": last_id,
        "has_more": has_more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { usual: 20, largest: 100, ordered: true };

    fn items() -> Vec<Value> {
        (0..5).map(|n| json!({ "id": format!("i{n}") })).collect()
    }

    fn read(query: &str) -> Result<Page, Failed> {
        RULES.read(query, |name, _| name == "include[]")
    }

    #[test]
    fn pages_of_items_follow_each_other() {
        let page = |query: &str| page_of(&read(query).ok().unwrap(), items()).ok().unwrap();
        let first = page("limit=2&include[]=x");
        assert_eq!((&first["first_id"], &first["last_id"]), (&json!("i4"), &json!("i3")));
        assert_eq!(first["has_more"], true);
        let next = page("limit=3&after=i3&order=desc");
        assert_eq!((&next["first_id"], &next["has_more"]), (&json!("i2"), &json!(false)));
        assert_eq!(page("order=asc")["first_id"], "i0");
        assert!(page_of(&read("after=none").ok().unwrap(), items()).is_err());
    }

    #[test]
    fn what_a_list_does_not_know_is_refused_by_name() {
        for bad in ["limit=0", "limit=101", "limit=x", "order=up", "before=i1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let unordered = Rules { ordered: false, ..RULES };
        assert!(unordered.read("order=asc", |_, _| false).is_err());
    }
}
