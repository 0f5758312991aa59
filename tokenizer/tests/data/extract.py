"""Makes recordings.jsonl: what each recorded request holds, and the input tokens billed for it.

Usage: extract.py DIRECTORY, where the directory has one .jsonl file of full recordings a provider.
Every dialect becomes the same few words, so that the test needs no dialect of its own. Requests
whose body was redacted and pictures' bytes are left out; of a picture, its size is kept.
"""

import base64
import json
import re
import struct
import sys
from pathlib import Path


def picture(data):
    """Width and height, from the first bytes of a PNG, JPEG, GIF or WebP."""
    try:
        raw = base64.b64decode(data + "=" * (-len(data) % 4))
    except ValueError:
        return None
    if raw[:8] == b"\x89PNG\r\n\x1a\n":
        return list(struct.unpack(">II", raw[16:24]))
    if raw[:3] == b"GIF":
        return list(struct.unpack("<HH", raw[6:10]))
    at = 2
    while raw[:2] == b"\xff\xd8" and at + 9 < len(raw):
        marker, length = struct.unpack(">HH", raw[at : at + 4])
        if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
            height, width = struct.unpack(">HH", raw[at + 5 : at + 9])
            return [width, height]
        at += 2 + length
    return None


def image(url, detail=None):
    part = {"image": None}
    match = re.match(r"data:image/[^,]*,(.*)", url or "", re.S)
    if match:
        part["image"] = picture(match[1])
    if detail in ("low", "high"):
        part["detail"] = detail
    return part


def parts(content):
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    out = []
    for part in content:
        if isinstance(part, str):
            out.append(part)
            continue
        kind = part.get("type")
        if isinstance(part.get("text"), str):
            out.append(part["text"])
        elif kind == "image_url":
            url = part["image_url"]
            url = url if isinstance(url, dict) else {"url": url}
            out.append(image(url.get("url"), url.get("detail")))
        elif kind == "input_image":
            out.append(image(part.get("image_url"), part.get("detail")))
        elif kind == "image" and part.get("source", {}).get("type") == "base64":
            out.append({"image": picture(part["source"]["data"])})
        elif kind == "tool_result":
            out.extend(parts(part.get("content")))
        elif kind == "tool_use":
            out.append(call(part.get("name"), part.get("input")))
        elif "toolUse" in part:
            out.append(call(part["toolUse"]["name"], part["toolUse"]["input"]))
        elif "toolResult" in part:
            out.extend(parts(part["toolResult"]["content"]))
        elif "json" in part:
            out.append(json.dumps(part["json"], ensure_ascii=False))
        elif "functionCall" in part:
            out.append(call(part["functionCall"]["name"], part["functionCall"].get("args")))
        elif "functionResponse" in part:
            out.append(json.dumps(part["functionResponse"].get("response"), ensure_ascii=False))
        elif str(part.get("inlineData", {}).get("mimeType", "")).startswith("image/"):
            out.append({"image": picture(part["inlineData"]["data"])})
        else:
            out.append({"other": kind or sorted(part)[0] if part else "empty"})
    return out


def call(name, arguments):
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments or {}, separators=(",", ":"), ensure_ascii=False)
    return {"call": [name or "", arguments]}


def message(role, content, source=None):
    source = source or {}
    out = {"role": role, "parts": parts(content)}
    if isinstance(source.get("name"), str) and role != "tool":
        out["name"] = source["name"]
    calls = [c.get("function") or {} for c in source.get("tool_calls") or []]
    calls += [source["function_call"]] if source.get("function_call") else []
    out["parts"] += [call(c.get("name"), c.get("arguments")) for c in calls]
    return out


def chat(request):
    """The request in the test's words, whichever dialect it is written in."""
    out = {"messages": []}
    tools = request.get("tools") or request.get("functions")
    if "contents" in request:
        system = request.get("systemInstruction") or request.get("system_instruction")
        if system:
            out["messages"].append(message("system", system.get("parts")))
        for content in request["contents"]:
            out["messages"].append(message(content.get("role", "user"), content.get("parts")))
        tools = tools if isinstance(tools, list) else [tools] if tools else []
        tools = [f for t in tools for f in t.get("functionDeclarations", [{"hosted": t}])]
        config = request.get("generationConfig") or {}
        schema = config.get("responseSchema") or config.get("responseJsonSchema")
    elif "input" in request:
        if request.get("instructions"):
            out["messages"].append(message("system", request["instructions"]))
        items = request["input"]
        items = [{"role": "user", "content": items}] if isinstance(items, str) else items
        for item in items:
            if item.get("type") == "function_call":
                source = {"tool_calls": [{"function": item}]}
                out["messages"].append(message("assistant", None, source))
            elif item.get("type") == "function_call_output":
                out["messages"].append(message("tool", item.get("output")))
            elif "role" in item:
                out["messages"].append(message(item["role"], item.get("content")))
            else:
                out["messages"].append({"role": "user", "parts": [{"other": item.get("type")}]})
        if request.get("previous_response_id"):
            out["messages"].append({"role": "user", "parts": [{"other": "previous"}]})
        schema = ((request.get("text") or {}).get("format") or {}).get("schema")
    else:
        system = request.get("system")
        if system:
            out["messages"].append(message("system", system))
        for item in request.get("messages") or []:
            out["messages"].append(message(item["role"], item.get("content"), item))
        if isinstance(request.get("toolConfig"), dict):
            tools = request["toolConfig"].get("tools")
        schema = ((request.get("response_format") or {}).get("json_schema") or {}).get("schema")
    if tools:
        out["tools"] = tools
    if schema:
        out["schema"] = schema
    return out


def usages(body):
    """Every usage block of a reply, in order, with the model that it names."""
    if isinstance(body, dict):
        yield body
    elif isinstance(body, str):
        lines = [l[5:] for l in body.splitlines() if l.startswith("data:")] or [body]
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value


def billed(body):
    tokens, model = None, None
    for value in usages(body):
        for holder in (value, value.get("response") or {}, value.get("message") or {}):
            if not isinstance(holder, dict):
                continue
            model = holder.get("model") or holder.get("modelVersion") or model
            usage = holder.get("usage") or holder.get("usageMetadata")
            if not isinstance(usage, dict):
                continue
            if isinstance(usage.get("tokens"), dict):
                usage = usage["tokens"]
            found = None
            for key in ("prompt_tokens", "promptTokenCount", "inputTokens", "input_tokens"):
                found = usage.get(key) if found is None else found
            if found is None:
                continue
            cache = ("cache_creation_input_tokens", "cache_read_input_tokens")
            cache += ("cacheReadInputTokens", "cacheWriteInputTokens")
            tokens = max(tokens or 0, int(found) + sum(usage.get(key) or 0 for key in cache))
    return tokens, model


def main():
    rows = []
    for path in sorted(Path(sys.argv[1]).glob("*.jsonl")):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if record["status"] != 200 or record.get("request_encoding") == "base64":
                continue
            request = record["request"]
            try:
                request = json.loads(request) if isinstance(request, str) else request
            except ValueError:
                continue
            known = ("messages", "contents", "input")
            if not isinstance(request, dict) or not any(key in request for key in known):
                continue
            endpoint = record["path"].split("?")[0]
            if re.search(r"embed|rerank|count_?tokens|input_tokens|threads", endpoint, re.I):
                continue
            body = record["body"]
            tokens, named = billed(body)
            model = re.search(r"models?/([^/:]+)", endpoint)
            model = request.get("model") or (model and model[1]) or named
            if record["provider"] in ("azure", "openai") and named:
                model = named
            if not tokens or not model:
                continue
            row = {key: record[key] for key in ("source", "licence", "provider")}
            rows.append(row | {"model": model, "billed": tokens} | chat(request))
    seen, kept = set(), []
    for row in rows:
        key = json.dumps({k: v for k, v in row.items() if k != "source"}, sort_keys=True)
        if key not in seen:
            seen.add(key)
            kept.append(row)
    out = Path(__file__).parent / "recordings.jsonl"
    dump = lambda row: json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    out.write_text("".join(dump(row) + "\n" for row in kept))
    print(len(rows), len(kept), out.stat().st_size)


main()
