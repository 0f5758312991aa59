"""Pictures, sound and judgements, at a provider that has them."""

import base64
import io
import wave

import openai
import pytest


def talk(seconds):
    """A recording of silence, as a user's file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(16000 * seconds))
    return ("talk.wav", file.getvalue())


def test_pictures_come_with_their_tokens(client, target, drawing):
    reply = client.images.generate(
        model=target.model(drawing), prompt="a harbour", n=2, size="1024x1024", quality="low"
    )
    assert [base64.b64decode(picture.b64_json)[1:4] for picture in reply.data] == [b"PNG"] * 2
    assert reply.usage.output_tokens == 2 * 272


def test_pictures_are_made_from_others(client, target, drawing):
    images = [("a.png", b"\x89PNG"), ("b.png", b"\x89PNG")]
    reply = client.images.edit(model=target.model(drawing), image=images, prompt="a bluer harbour")
    assert len(reply.data) == 1
    assert reply.usage.input_tokens_details.image_tokens == 2 * 1000


def test_a_picture_is_read_in_events(client, target, drawing):
    ask = {"model": target.model(drawing), "prompt": "a harbour", "quality": "low"}
    events = list(client.images.generate(**ask, stream=True, partial_images=2))
    assert [event.type for event in events] == ["image_generation.completed"]
    assert base64.b64decode(events[0].b64_json)[1:4] == b"PNG"
    assert events[0].usage.output_tokens == 272
    image = ("a.png", b"\x89PNG")
    events = list(client.images.edit(**ask, image=image, stream=True))
    assert [event.type for event in events] == ["image_edit.completed"]
    assert events[0].usage.input_tokens_details.image_tokens == 1000


def test_speech_is_sound_in_the_format_that_is_asked_for(client, target, speaking, tmp_path):
    ask = {"model": target.model(speaking), "voice": "alloy", "input": "Every car is counted."}
    reply = client.audio.speech.create(**ask, response_format="wav")
    assert reply.content.startswith(b"RIFF")
    assert reply.response.headers["content-type"] == "audio/wav"
    with client.audio.speech.with_streaming_response.create(**ask) as streamed:
        streamed.stream_to_file(tmp_path / "said.mp3")
    assert (tmp_path / "said.mp3").read_bytes()[:2] == b"\xff\xfb"


def test_what_is_said_is_written_down(client, target, listening):
    ask = {"model": target.model(listening), "file": talk(3)}
    heard = client.audio.transcriptions.create(**ask)
    assert heard.text
    text = client.audio.transcriptions.create(**ask, response_format="text")
    assert text == heard.text + "\n"


def test_what_is_said_is_read_in_events(client, target, listening):
    ask = {"model": target.model(listening), "file": talk(3)}
    *deltas, done = client.audio.transcriptions.create(**ask, stream=True)
    assert "".join(event.delta for event in deltas) == done.text
    assert done.type == "transcript.text.done"
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens


def test_a_model_without_times_writes_no_subtitles(client, target, listening):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(
            model=target.model(listening), file=talk(3), response_format="srt"
        )
    assert refused.value.param == "response_format"


def test_texts_are_judged_one_by_one(client, target, judging):
    reply = client.moderations.create(
        model=target.model(judging), input=["A lovely bridge.", "I will attack it."]
    )
    assert [result.flagged for result in reply.results] == [False, True]
    assert reply.results[1].categories.violence
