//! The examples are our own, in the shapes that the formats' documents describe.

use serde_json::{Value, json};

use super::*;

const DOTPROMPT: &str = r#"---
# A comment
name: greeting
model: googleai/gemini-flash
config:
  temperature: 0.5
  maxOutputTokens: 200
  stopSequences: [END]
input:
  schema:
    guest: string, who is greeted
    style?: string
    stay(object, the booking):
      nights: integer
      room?: string
    wishes(array, what is asked for):
      what: string
      urgent: boolean
    tone(enum, how it sounds): [warm, brief]
  default:
    tone: warm
output:
  format: json
  schema:
    greeting: string, what is said
    tags(array): string
metadata:
  owner: hotel
---
{{! never said }}
{{role "system"}}
You are {{tone}}.{{#if style}} Your style is {{style}}.{{else}} Be yourself.{{/if}}
{{role "model"}}
{"greeting": "Hello"}
{{role "user"}}
Greet {{guest}} for {{stay.nights}} nights{{#if stay.room}} in {{stay.room}}{{/if}}.
{{#each wishes}}
{{@index}}: {{what}} for {{@root.guest}}{{#if urgent}} now{{/if}}
{{/each}}
{{#ifEquals tone "brief"}}Short.{{/ifEquals}}{{#unless style}}Plain.{{/unless}} \{{not a tag}} {%
--- user
"#;

fn messages(text: &str, inputs: Value) -> Vec<Value> {
    let template = Template::parse("t.md", text).unwrap_or_else(|p| panic!("{p:?}\n{text}"));
    let rendered = template.render(inputs.as_object().unwrap().clone()).unwrap();
    let body: Value = serde_json::from_slice(&rendered.body(false, false, None)).unwrap();
    body["messages"].as_array().unwrap().clone()
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn refused(maker: Maker, text: &str) -> String {
    told(&import(maker, "f", text, Some("m")).expect_err(text))
}

#[test]
fn a_dotprompt_file_says_here_what_handlebars_makes_of_it() {
    // What Handlebars takes a system part, a model part and the user's for is our order but for the
    // example, which has its question first.
    let text = DOTPROMPT.replace("{{role \"model\"}}", "{{role \"user\"}}\nHi\n{{role \"model\"}}");
    let Imported { text, warnings } = import(Maker::Dotprompt, "g.prompt", &text, None).unwrap();
    let said = messages(
        &text,
        json!({
            "guest": "Ada", "stay": { "nights": 2 },
            "wishes": [{ "what": "tea", "urgent": true }, { "what": "a map", "urgent": false }],
        }),
    );
    assert_eq!(said[0]["content"], "You are warm. Be yourself.");
    assert_eq!(
        said[3]["content"],
        "Greet Ada for 2 nights.\n0: tea for Ada now\n1: a map for Ada\nPlain. {{not a tag}} {%\n--- user"
    );
    let said = messages(
        &text,
        json!({
            "guest": "Ada", "stay": { "nights": 1, "room": "7" }, "wishes": [], "tone": "brief",
            "style": "dry",
        }),
    );
    assert_eq!(said[0]["content"], "You are brief. Your style is dry.");
    assert_eq!(
        said[3]["content"],
        "Greet Ada for 1 nights in 7.\nShort. {{not a tag}} {%\n--- user"
    );
    let template = Template::parse("t.md", &text).unwrap();
    assert_eq!(template.output().unwrap()["required"], json!(["greeting", "tags"]));
    assert_eq!(template.model, "googleai/gemini-flash");
    assert!(
        text.contains("temperature = 0.5\nmax_output_tokens = 200\nstop = [\"END\"]"),
        "{text}"
    );
    let warned = told(&warnings);
    assert!(
        warned.contains("g.prompt:3: name: describes") && warned.contains("metadata"),
        "{warned}"
    );
}

#[test]
fn what_a_dotprompt_file_cannot_carry_is_told_with_field_and_line() {
    let with = |front: &str, body: &str| format!("---\nmodel: m\n{front}---\n{body}\n");
    let schema =
        "input:\n  schema:\n    a: string\n    o:\n      b: string\n    l(array): string\n";
    for (front, body, expected) in [
        ("config:\n  topK: 20\n", "hi", "f:4: config.topK: no such parameter"),
        ("tools:\n  - clock\n", "hi", "f:4: tools: names a tool"),
        (
            "input:\n  schema:\n    a: text\n",
            "hi",
            "f:5: input.schema.a: there is no type \"text\"",
        ),
        ("output:\n  format: media\n", "hi", "f:4: output.format: is text or json"),
        ("colour: red\n", "hi", "f:3: colour: is no field"),
        ("model: twice\n", "hi", "f:3: `model` is said twice"),
        ("config: &a {seed: 1}\n", "hi", "f:3: anchors, aliases and tags"),
        ("config: {seed: 0x1f}\n", "hi", "f:3: 0x1f: numbers are written as decimals"),
        ("config: [\n", "hi", "not YAML"),
        (schema, "{{history}}", "f:10: {{history}}: a template has no history"),
        (schema, "x\n{{media url=a}}", "f:11: {{media url=a}}: a template is of text only"),
        (schema, "{{>part}}", "a partial is another file"),
        (schema, "{{a}} {{c}}", "f:10: {{c}}: `c` is used, but input.schema"),
        (schema, "{{o}}", "written with {{json ..}}"),
        (schema, "{{o.c}}", "the schema of `o` has no `c`"),
        (schema, "{{shout a}}", "there is no helper `shout`"),
        (schema, "{{#if a}}x", "f:10: if: this block is not closed"),
        (schema, "{{#if a}}x{{/each}}", "closes what is not open"),
        (schema, "{{#each o}}x{{/each}}", "each goes over a list"),
        (schema, "{{#if a}}{{role \"user\"}}{{/if}}", "a role inside a block"),
        (schema, "{{a", "f:10: template: a tag is not closed"),
        (schema, "{{role \"model\"}}hi", "the last part is the user's"),
    ] {
        let found = refused(Maker::Dotprompt, &with(front, body));
        assert!(found.contains(expected), "{front}{body}: {found}");
    }
    let unnamed = import(Maker::Dotprompt, "f", "hi {{! a comment }}", None).unwrap_err();
    assert!(told(&unnamed).contains("say which with --model"));
    assert!(import(Maker::Dotprompt, "f", "hi {{! a comment }}", Some("m")).is_ok());
}

#[test]
fn white_space_goes_and_stays_as_handlebars_has_it() {
    let schema = "---\nmodel: m\ninput:\n  schema:\n    a?: string\n    l(array): string\n---\n";
    for (body, expected) in [
        ("x\n{{#if a}}\nyes {{a}}\n{{else}}\nno\n{{/if}}\nz", "x\nyes A\nz"),
        ("x {{~#if a~}} y {{~/if~}} z", "xyz"),
        ("x\n  {{! gone }}\nz", "x\nz"),
        ("x {{#each l}}<{{this}}{{#unless @last}},{{/unless}}>{{else}}none{{/each}}", "x <p,><q>"),
        ("{{#each l}}{{../a}}{{.}} {{/each}}|", "Ap Aq |"),
        ("{{#with a}}{{this}}{{/with}} {{{a}}} {{!-- }} --}}x", "A A x"),
        ("{{json l}} {{json a}}", "[\"p\", \"q\"] \"A\""),
    ] {
        let text = format!("{schema}{body}");
        let imported =
            import(Maker::Dotprompt, "f", &text, None).unwrap_or_else(|p| panic!("{body}: {p:?}"));
        let said = messages(&imported.text, json!({ "a": "A", "l": ["p", "q"] }));
        assert_eq!(said[0]["content"], expected, "{body}");
    }
}

const PROMPTY: &str = r#"---
name: Support
description: Answers a customer
authors: [us]
model:
  api: chat
  configuration:
    type: azure_openai
    azure_deployment: gpt-4o
    azure_endpoint: ${env:ENDPOINT}
  parameters:
    max_tokens: 300
    temperature: 0.2
inputs:
  customer:
    type: string
    sample: Jo
  loud:
    type: boolean
    default: false
sample:
  question: |
    Where is
    my order?
template: jinja2
---
system:
You help {{ customer }}.{% if loud %} Loudly.{% endif %}

# user:
{{ question }}
--- notes
"#;

#[test]
fn a_prompty_file_keeps_its_sections_inputs_and_sample() {
    let Imported { text, warnings } = import(Maker::Prompty, "s.prompty", PROMPTY, None).unwrap();
    let said = messages(&text, json!({ "customer": "Jo", "question": "Why?", "loud": true }));
    assert_eq!(said[0], json!({ "role": "system", "content": "You help Jo. Loudly." }));
    assert_eq!(said[1], json!({ "role": "user", "content": "Why?\n--- notes" }));
    let template = Template::parse("t.md", &text).unwrap();
    assert_eq!((template.tests.len(), template.model.as_str()), (1, "gpt-4o"));
    assert_eq!(template.tests[0].inputs["question"], "Where is\nmy order?\n");
    let warned = told(&warnings);
    for expected in ["s.prompty:2: name:", "s.prompty:10: model.configuration.azure_endpoint:"] {
        assert!(warned.contains(expected), "{warned}");
    }
    for (from, to, expected) in [
        ("api: chat", "api: completion", "f:6: model.api: is chat"),
        ("temperature", "logit_bias", "f:13: model.parameters.logit_bias: no such parameter"),
        ("jinja2", "mustache", "f:25: template: is jinja2"),
        ("# user:", "tool:", "f:30: tool: what a tool gave"),
        ("--- notes", "![a](b.png)", "f:32: image: a template is of text only"),
        ("{{ question }}", "{{ other }}", "f:31: is no template here: other is used"),
        (
            "max_tokens: 300",
            "response_format: {type: json_object}",
            "f:12: model.parameters.response_format",
        ),
    ] {
        let found = refused(Maker::Prompty, &PROMPTY.replace(from, to));
        assert!(found.contains(expected), "{to}: {found}");
    }
    let json = PROMPTY
        .replace("max_tokens: 300", "response_format: {type: json_object}")
        .replace("sample:\n  q", "outputs:\n  answer: {type: string}\nsample:\n  q");
    let text = import(Maker::Prompty, "f", &json, None).unwrap().text;
    let template = Template::parse("t.md", &text).unwrap();
    assert_eq!(template.output().unwrap()["properties"], json!({ "answer": { "type": "string" } }));
}

#[test]
fn langfuses_text_and_chat_keep_their_variables_and_what_requests_know_of_the_config() {
    let text = r#"{"name": "critic", "type": "text", "version": 3, "labels": ["production"],
        "prompt": "As a {{level}} critic: {{ film }} {% {\n--- user\n😀",
        "config": {"model": "gpt-4o", "temperature": 0.5, "languages": ["en"]}, "tags": []}"#;
    let Imported { text, warnings } = import(Maker::Langfuse, "c.json", text, None).unwrap();
    let said = messages(&text, json!({ "level": "stern", "film": "{{level}}" }));
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["content"], "As a stern critic: {{level}} {% {\n--- user\n😀");
    assert!(told(&warnings).contains("c.json:3: config.languages: is read by code of its own"));

    let chat = r#"{
  "type": "chat",
  "prompt": [
    {"role": "system", "content": "Be {{tone}}."},
    {"type": "chatmessage", "role": "user", "content": "{{q}}"}
  ],
  "config": {"max_tokens": 9, "tools": [{"type": "function", "function": {"name": "f"}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema":
      {"type": "object", "properties": {"n": {"type": "integer"}}}}}}
}"#;
    let imported = import(Maker::Langfuse, "f", chat, Some("chat")).unwrap();
    let said = messages(&imported.text, json!({ "tone": "kind", "q": "Why?" }));
    assert_eq!((&said[0]["content"], &said[1]["content"]), (&json!("Be kind."), &json!("Why?")));
    assert!(imported.text.contains("[[tools]]\nname = \"f\""), "{}", imported.text);
    for (from, to, expected) in [
        ("\"type\": \"chatmessage\"", "\"type\": \"placeholder\"", "f:5: prompt[1]: a placeholder"),
        ("{{q}}", "{{#q}}x{{/q}}", "f:5: prompt[1]: {{#q}}"),
        ("{{q}}", "@@@langfusePrompt:name=a|label=b@@@", "f:5: prompt[1]: names another prompt"),
        ("\"system\"", "\"tool\"", "f:4: prompt[0]: nobody speaks as \"tool\""),
        ("\"type\": \"chat\"", "\"type\": \"voice\"", "f:2: type: is text or chat"),
        ("\"config\"", "\"konfig\"", "f:7: konfig: is no field"),
        ("\"max_tokens\": 9", "9", "f:7: not JSON"),
    ] {
        let found = refused(Maker::Langfuse, &chat.replace(from, to));
        assert!(found.contains(expected), "{to}: {found}");
    }
}

#[test]
fn no_file_makes_the_importers_fail_otherwise_than_by_telling() {
    for base in [DOTPROMPT, PROMPTY, r#"{"prompt": "{{a}}", "config": {"model": "m"}}"#] {
        for maker in [Maker::Dotprompt, Maker::Prompty, Maker::Langfuse] {
            let ends = base.char_indices().map(|(at, _)| at).step_by(5);
            for end in ends {
                let _ = import(maker, "f", &base[..end], None);
                let _ = import(maker, "f", &format!("{}}}}}{}", &base[..end], &base[end..]), None);
            }
        }
    }
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000), "- ".repeat(10_000)] {
        assert!(import(Maker::Langfuse, "f", &deep, None).is_err());
        assert!(import(Maker::Prompty, "f", &format!("---\n{deep}\n---\n"), None).is_err());
    }
}
