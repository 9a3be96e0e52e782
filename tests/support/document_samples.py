"""Every sample of the four services' documents as a manifest row under a job.

A sample is named after the capture that holds its request; a sample without a capture says its body itself. Captures of
one request (the same sample with other answers) stand together. `§` means PROTOCOLS.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

DOG = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20241022/emyrja/dog_and_girl.jpeg"
TIGER = "https://img.alicdn.com/imgextra/i2/O1CN01vYy9dk1hjPEX0VkeE_!!6000000004313-0-tps-1024-1024.jpg"
ALICDN = "https://img.alicdn.com/imgextra"
TWO = [f"{ALICDN}/i3/O1CN01sRvtsv1WKi6WlKiiP_!!6000000002770-0-tps-1024-1024.jpg",
       f"{ALICDN}/i1/O1CN01L1W5Dp1lUWpaBvUmh_!!6000000004822-0-tps-1024-1024.jpg"]  # fmt: skip
MATCH = [f"{ALICDN}/i3/O1CN01K3SgGo1eqmlUgeE9b_!!6000000003923-0-tps-3840-2160.jpg",
         f"{ALICDN}/i4/O1CN01BjZvwg1Y23CF5qIRB_!!6000000003000-0-tps-3840-2160.jpg",
         f"{ALICDN}/i4/O1CN01Ib0clU27vTgBdbVLQ_!!6000000007859-0-tps-3840-2160.jpg",
         f"{ALICDN}/i1/O1CN01aygPLW1s3EXCdSN4X_!!6000000005710-0-tps-3840-2160.jpg"]  # fmt: skip
BAIDU = ["https://testimage.bj.bcebos.com/image1.jpg", "https://testimage.bj.bcebos.com/image2.png"]
NIGHT = "https://dashscope.oss-cn-beijing.aliyuncs.com/images/the_starry_night.jpg"
SMALL = "https://dashscope.oss-cn-beijing.aliyuncs.com/images/256_1.png"
COW = "https://dashscope.oss-cn-beijing.aliyuncs.com/audios/cow.flac"
CLIP = "https://example.com/a.mp4"
LOCAL = "test.png"
"""A picture beside the manifest. It stands for the documents' pictures of one pixel, which no service takes (§3.7)."""

ASSISTANT = {"system": "You are a helpful assistant."}
DIFFERENCE = "What are in these images? Is there any difference between them?"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`row` under a job of `task`, `provider` and `prompt`; `again` is the same question as earlier turns.

    captures: whose requests the row must give, all of them; of a second round the first request may be missing.
    body, path: of the request where no capture holds it. explained: how the capture differs from what is sent.
    unserved: what the embedded service says instead of an answer.
    """

    row: dict[str, Any]
    provider: dict[str, Any]
    captures: tuple[str, ...] = ()
    task: str = "ask"
    prompt: dict[str, str] = field(default_factory=dict)
    again: dict[str, Any] | None = None
    body: dict[str, Any] | None = None
    path: str = ""
    explained: str = ""
    unserved: str = ""


def native(model: str, **more: Any) -> dict[str, Any]:
    return {"name": "dashscope", "model": model, **more}


def compatible(model: str, **more: Any) -> dict[str, Any]:
    return {"name": "dashscope", "protocol": "openai", "model": model, **more}


def ernie(**more: Any) -> dict[str, Any]:
    return {"name": "qianfan", "model": "ernie-4.5-8k-preview", **more}


LLAMA = native("llama3.2-90b-vision-instruct")
MAX = native("qwen-vl-max")
LATEST = native("qwen-vl-max-latest")
PEACE = native("multimodal-embedding-one-peace-v1", parameters={"auto_truncation": True})
APP = {"workspace": "app-xxxx"}
WHAT = {"image": DOG, "prompt": "这是什么?"}
WHAT_COMPATIBLE = {"image": DOG, "prompt": "这是什么"}
TWO_BAIDU = [{"image": url} for url in BAIDU]


def turns(question: dict[str, Any], answer: str, then: str) -> dict[str, Any]:
    """A second round as earlier turns and a prompt."""
    return {
        "messages": [{"role": "user", **question}, {"role": "assistant", "text": answer}],
        "prompt": then,
    }


def doc(*captures: str, row: dict[str, Any], on: dict[str, Any], **more: Any) -> Sample:
    return Sample(captures=captures, row=row, provider=on, **more)


LLAMA_VISION = [
    doc("seed1__01_native_1img", row={"image": DOG, "prompt": "這是什么?"}, on=LLAMA),
    doc("seed1__02_native_1img_multiturn", on=LLAMA,
        row={"image": DOG, "prompts": ["這是什么?", "做一首詩描述這個場景"]},
        again=turns({"image": DOG, "text": "這是什么?"}, "這是一只小狗和一個女孩在海邊。", "做一首詩描述這個場景")),
    doc("seed1__03_native_1img_system_sse", on={**LLAMA, "stream": True}, prompt=ASSISTANT,
        row={"image": DOG, "prompt": "這是什么?"}),
    doc("ds202__mm_system", row=WHAT, on={**LLAMA, "workspace": "ws_QTggmeAxxxxx"}, prompt=ASSISTANT),
    doc("ds202__mm_stream_default", row=WHAT, on={**LLAMA, "stream": True}),
    doc("ds202__mm_llama_params", row={**WHAT, "parameters": {"temperature": 0.2, "top_p": 0.9, "top_k": 50}},
        on={**LLAMA, "parameters": {"max_new_tokens": 256, "min_new_tokens": 1}}),
]  # fmt: skip

QWEN_NATIVE = [
    doc("seed2__02_native_1img", row=WHAT, on=MAX),
    doc("seed2__04_native_3img", row={"images": [DOG, *TWO], "prompt": "这些是什么?"}, on=native("qwen-vl-plus")),
    doc("seed2__06_native_1img_multiturn", on=MAX,
        row={"image": DOG, "prompts": ["这是什么?", "写一首七言绝句描述这个场景"]},
        again=turns({"image": DOG, "text": "这是什么?"}, "这是一只狗和一只女孩。", "写一首七言绝句描述这个场景")),
    doc("seed2__08_native_1img_system_stream_sse", row={"image": DOG, "prompt": "这个图片是哪里?"}, prompt=ASSISTANT,
        on=native("qwen-vl-plus", stream=True, parameters={"incremental_output": True})),
    doc("seed2__10_native_video", "ds202__mm_video_frames", row={"frames": MATCH, "prompt": "描述这个视频的具体过程"},
        on=LATEST),
    *(doc(name, row={"image": f"{ALICDN}/{picture}", "prompt": question}, on=MAX) for name, picture, question in (
        ("seed2__11_native_1img", "i2/O1CN01y1lotD1hINrPr60fs_!!6000000004254-0-tps-1384-3024.jpg", "这是什么?"),
        ("seed2__12_native_1img", "i1/O1CN01lMJMCv29E5O54B7y5_!!6000000008035-0-tps-1024-683.jpg", "图片里是什么?"),
        ("seed2__13_native_1img", "i1/O1CN01iIByHc1z7zxtfOhuy_!!6000000006668-0-tps-2334-1558.jpg", "图片想表达什么?"),
        ("seed2__14_native_1img", "i1/O1CN01gDEY8M1W114Hi3XcN_!!6000000002727-0-tps-1024-406.jpg", "解这道题?"),
        ("seed2__15_native_1img", "i2/O1CN01tLcqfB1ghHmWEifx5_!!6000000004173-0-tps-1332-406.jpg",
         "把图片里的文字翻译成中文?"))),
    doc("ds202__mm_single_image", "ds202__mm_missing_usage", "ds202__mm_error_200_with_code", "ds202__mm_error_400",
        "ds202__mm_error_401", "ds202__mm_error_429", "ds202__mm_error_500", "ds202__mm_error_503",
        "ds202__mm_error_html_502", row=WHAT, on=LATEST),
    doc("ds202__mm_multi_image", row={"images": [DOG, TIGER], "prompt": "这些是什么?"}, on=LATEST),
    doc("ds202__mm_multi_turn", row={"image": DOG, "prompts": ["这是什么?", "做一首诗描述这个场景"]}, on=LATEST,
        again=turns({"image": DOG, "text": "这是什么?"}, "这是一张在海滩上拍摄的照片。", "做一首诗描述这个场景")),
    doc("ds202__mm_content_as_string", row={"prompt": "hello"}, on=LATEST),
    doc("ds202__mm_stream_incremental_true", "ds202__mm_stream_incremental_false", "ds202__mm_stream_error_event",
        "ds202__mm_stream_error_event_spaced", "ds202__mm_stream_split_utf8", "ds202__mm_stream_truncated", row=WHAT,
        on={**LATEST, "stream": True, "parameters": {"incremental_output": True}}),
    doc("ds202__mm_stream_http400_sse_body", row=WHAT, on={**LATEST, "stream": True}),
    doc("ds202__mm_local_file", row={"image": "file://test.png", "prompt": "这是什么?"}, on=LATEST),
    doc("ds202__mm_local_file_two", row={"images": [LOCAL, "图 片.png"], "prompt": "这是什么?"}, on=LATEST),
    doc("ds202__mm_local_frames", row={"frames": ["file://test.png"] * 4, "prompt": "这是什么?"}, on=LATEST),
    doc("ds202__mm_oss_url", row={"image": "oss://dashscope-instant/xxx/test.png", "prompt": "这是什么?"}, on=LATEST),
    doc("ds202__mm_data_uri", row={"image": "{data}", "prompt": "这是什么?"}, on=LATEST,
        explained="bytes are uploaded over the native protocol, so that 10 MB of base64 are no bound (§3.7)"),
    doc("ds202__mm_ocr", task="ocr", prompt={"text": ""},
        row={"contents": [{"image": DOG, "min_pixels": 3136, "max_pixels": 6422528, "enable_rotate": True}]},
        on=native("qwen-vl-ocr-latest", parameters={"ocr_options": {
            "task": "key_information_extraction", "task_config": {"result_schema": {"票价": ""}}}})),
    doc("ds202__mm_video_url_fps", row={"video": CLIP, "fps": 2, "prompt": "描述这个视频"}, on=native("qwen3-vl-plus")),
]  # fmt: skip

QWEN_COMPATIBLE = [
    doc("seed2__01_compat_1img", row=WHAT_COMPATIBLE, on=compatible("qwen-vl-max")),
    doc("seed2__03_compat_2img", row={"images": [DOG, TIGER], "prompt": "这些是什么"}, on=compatible("qwen-vl-max")),
    doc("seed2__05_compat_1img_multiturn", on=compatible("qwen-vl-max"),
        row={"image": DOG, "prompts": ["这是什么", "写一首七言绝句描述这个场景"]},
        again=turns({"image": DOG, "text": "这是什么"}, "这是一个女孩和一只狗。", "写一首七言绝句描述这个场景")),
    doc("seed2__07_compat_1img_stream", "oai352__ds_stream_usage", row=WHAT_COMPATIBLE,
        on=compatible("qwen-vl-plus", stream=True)),
    doc("seed2__09_compat_video", row={"frames": MATCH, "prompt": "描述这个视频的具体过程"},
        on=compatible("qwen-vl-max-latest")),
    doc("oai352__ds_video_frames", row={"frames": MATCH[:1] * 4, "prompt": "描述这个视频的具体过程"},
        on=compatible("qwen-vl-max-latest")),
    doc("oai352__ds_single_image", row=WHAT_COMPATIBLE, on=compatible("qwen-vl-max-latest")),
    doc("oai352__ds_multi_image", row={"images": [DOG, TIGER], "prompt": "这些是什么"},
        on=compatible("qwen-vl-max-latest")),
    doc("oai352__ds_base64", row={"image": LOCAL, "prompt": "这是什么"}, on=compatible("qwen-vl-max-latest")),
    doc("oai352__ds_system", row=WHAT_COMPATIBLE, on=compatible("qwen-vl-max-latest"), prompt=ASSISTANT),
    doc("oai352__ds_multi_turn", row={"image": DOG, "prompts": ["这是什么", "做一首诗描述这个场景"]},
        on=compatible("qwen-vl-max-latest"),
        again=turns({"image": DOG, "text": "这是什么"}, "这是一张在海滩上拍摄的照片。", "做一首诗描述这个场景")),
    doc("oai352__ds_stream", row=WHAT_COMPATIBLE, on=compatible("qwen-vl-max-latest", stream=True)),
    doc("oai352__ds_error_400_inspection", "oai352__ds_error_401", "oai352__ds_error_429_retry_default",
        row={"image": DOG, "prompt": "x"}, on=compatible("qwen-vl-max")),
    doc("oai352__ds_stream_error_flat", "oai352__ds_stream_error_obj", "oai352__ds_stream_truncated",
        row={"image": DOG, "prompt": "x"}, on=compatible("qwen-vl-plus", stream=True)),
    doc("oai352__ds_video_url_fps", row={"video": CLIP, "fps": 2, "prompt": "x"},
        on=compatible("qwen3-vl-plus", parameters={"vl_high_resolution_images": True, "enable_thinking": False})),
]  # fmt: skip

QIANFAN = [
    doc("seed3__01_qianfan_text", "oai352__qf_text_only_list", row={"prompt": "介绍几个上海著名景点"}, on=ernie()),
    doc("seed3__02_qianfan_1img", "oai352__qf_image_only", row={"contents": [{"image": BAIDU[0]}]}, on=ernie()),
    doc("seed3__03_qianfan_2img", "seed3__05_qianfan_2img", row={"contents": [{"text": DIFFERENCE}, *TWO_BAIDU]},
        on=ernie()),
    doc("seed3__04_qianfan_text_websearch", row={"prompt": "2024年奥运会乒乓球男单冠军是谁"},
        on=ernie(parameters={"web_search": {"enable": True, "enable_trace": True}, "max_tokens": 512})),
    doc("seed3__06_qianfan_2img_multiturn", on=ernie(),
        row={"contents": [{"text": DIFFERENCE}, *TWO_BAIDU], "prompts": ["", "不够详细,再补充解析细节一点哇"]},
        again=turns({"contents": [{"text": DIFFERENCE}, *TWO_BAIDU]}, "{answer}", "不够详细,再补充解析细节一点哇")),
    doc("oai352__qf_multi_turn_mixed_content", on=ernie(**APP),
        row={"contents": [{"text": "What are in these images?"}, *TWO_BAIDU],
             "prompts": ["", "不够详细,再补充解析细节一点哇"]},
        again=turns({"contents": [{"text": "What are in these images?"}, *TWO_BAIDU]}, "The first image depicts ...",
                    "不够详细,再补充解析细节一点哇")),
    doc("oai352__qf_two_images_detail", on=ernie(**APP, parameters={"max_completion_tokens": 512}),
        row={"contents": [{"text": DIFFERENCE}, {"image": BAIDU[0], "detail": "high"},
                          {"image": BAIDU[1], "detail": "low"}]}),
    doc("oai352__qf_base64_stream", row={"contents": [{"text": "What is in this image?"}, {"image": LOCAL}]},
        on=ernie(**APP, stream=True)),
    doc("oai352__qf_web_search", row={"prompt": "2024年奥运会乒乓球男单冠军是谁"},
        on=ernie(**APP, parameters={"max_tokens": 512, "web_search": {"enable": True, "enable_trace": True}})),
    doc("oai352__qf_err_flat", "oai352__qf_err_flat_200", "oai352__qf_err_nested", row={"prompt": "x"},
        on=ernie(**APP)),
    doc("qianfan__two_images_detail", "qianfan__err_flat_200", "qianfan__err_nested_200", "qianfan__err_nested_429",
        row={"contents": [{"text": "What are in these images?"}, {"image": BAIDU[0], "detail": "high"},
                          {"image": BAIDU[1]}]}, on=ernie()),
    doc("qianfan__stream", on=ernie(stream=True),
        row={"contents": [{"text": "What are in these images?"}, {"image": BAIDU[0], "detail": "high"},
                          {"image": BAIDU[1]}]}),
    doc("qianfan__web_search", row={"prompt": "2024年奥运会乒乓球男单冠军是谁"},
        on=ernie(parameters={"web_search": {"enable": True, "enable_trace": True}, "max_tokens": 512})),
]  # fmt: skip

EMBEDDING = [
    doc("seed4__01_embed", task="embed", on=PEACE,
        row={"contents": [{"image": NIGHT, "factor": "5"}, {"text": "what is your name", "factor": "0.5"},
                          {"audio": COW}]}),
    doc("ds202__emb_factor_string", task="embed", on=PEACE,
        row={"contents": [{"image": SMALL, "factor": "5"}, {"text": "what is your name", "factor": "0.5"},
                          {"audio": COW}]}),
    doc("ds202__emb_mixed_factor", task="embed", on=PEACE,
        row={"contents": [{"factor": 1, "text": "你好"}, {"factor": 2, "audio": COW}, {"factor": 3, "image": SMALL}]}),
    doc("ds202__emb_audio_image", task="embed", row={"contents": [{"audio": COW}, {"image": SMALL}]}, on=PEACE),
    doc("ds202__emb_image", task="embed", row={"image": SMALL}, on=PEACE),
    doc("ds202__emb_local_file", task="embed", on={**PEACE, "workspace": "ws_QTggmeAxxxxx"},
        row={"contents": [{"image": LOCAL}, {"image": "file://test.png"}]}),
    doc("ds202__emb_no_parameters", "ds202__emb_error", task="embed", row={"text": "hello"},
        on=native("multimodal-embedding-one-peace-v1")),
    doc("ds202__emb_new_plural", task="embed",
        row={"contents": [{"text": "a"}, {"image": SMALL}, {"video": "https://example.com/v.mp4"}]},
        on=native("tongyi-embedding-vision-plus",
                  parameters={"dimension": 1152, "output_type": "dense", "fps": 0.5}),
        unserved="The embedded service only has vectors of dimension 1536, tongyi-embedding-vision-plus was to give "
                 "1152."),
]  # fmt: skip

GENERATION = "/api/v1/services/aigc/multimodal-generation/generation"
CHAT = "/compatible-mode/v1/chat/completions"
SOUND = "https://example.com/a.wav"
MARK = {"cache_control": {"type": "ephemeral"}}
SUMMARY = {"response_format": {"type": "json_object"}}


def said(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def to_native(model: str, *parts: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    return {"model": model, "input": {"messages": said(*parts)}, "parameters": parameters}


def words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def shown(url: str, **inner: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **inner}}


FURTHER = [
    # Options of single parts, native and compatible (§3.2, §3.5, §3.10)
    doc(row={"frames": MATCH, "fps": 2, "prompt": "描述这个视频的具体过程"}, on=LATEST, path=GENERATION,
        body=to_native("qwen-vl-max-latest", {"video": MATCH, "fps": 2}, {"text": "描述这个视频的具体过程"})),
    doc(row={"contents": [{"video": CLIP, "fps": 0.5, "max_pixels": 655360, "total_pixels": 134217728},
                          {"text": "描述这个视频"}]}, on=native("qwen3-vl-plus"), path=GENERATION,
        body=to_native("qwen3-vl-plus", {"video": CLIP, "fps": 0.5, "max_pixels": 655360, "total_pixels": 134217728},
                       {"text": "描述这个视频"})),
    doc(row={"contents": [{"image": DOG, **MARK}, {"text": "这是什么?", **MARK}]}, on=native("qwen3-vl-plus"),
        path=GENERATION, body=to_native("qwen3-vl-plus", {"image": DOG, **MARK}, {"text": "这是什么?", **MARK})),
    doc(task="ocr", prompt={"text": ""}, row={"image": DOG}, path=GENERATION,
        on=native("qwen-vl-ocr", parameters={"ocr_options": {"task": "advanced_recognition"}, "enable_rotate": True}),
        body=to_native("qwen-vl-ocr", {"image": DOG, "enable_rotate": True},
                       ocr_options={"task": "advanced_recognition"})),
    doc(row={"frames": MATCH, "fps": 2, "prompt": "描述这个视频"}, on=compatible("qwen-vl-max-latest"), path=CHAT,
        body={"model": "qwen-vl-max-latest",
              "messages": said({"type": "video", "video": MATCH, "fps": 2}, words("描述这个视频"))}),
    doc(task="ocr", row={"contents": [{"image": DOG, "min_pixels": 3072, "max_pixels": 8388608},
                                      {"text": "Read all the text."}]}, on=compatible("qwen-vl-ocr"), path=CHAT,
        body={"model": "qwen-vl-ocr", "messages": said(
            {**shown(DOG), "min_pixels": 3072, "max_pixels": 8388608}, words("Read all the text."))}),
    doc(row={"contents": [{"image": DOG, **MARK}, {"text": "Answer as json.", **MARK}]}, path=CHAT,
        on=compatible("qwen3-vl-plus", parameters={**SUMMARY, "enable_thinking": False, "top_k": 20}),
        body={"model": "qwen3-vl-plus", **SUMMARY, "enable_thinking": False, "top_k": 20, "messages": said(
            {**shown(DOG), **MARK}, {**words("Answer as json."), **MARK})}),
    # A sound, to a model that hears (§3.5)
    doc(row={"audio": SOUND, "prompt": "What is this?"}, on=compatible("qwen3-omni-flash", stream=True), path=CHAT,
        body={"model": "qwen3-omni-flash", "stream": True, "messages": said(
            {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}, words("What is this?"))}),
    # A video and the default detail, on Qianfan's newer models (§4.2)
    doc(row={"contents": [{"text": "x"}, {"video": CLIP, "fps": 1}]}, path="/v2/chat/completions",
        on={"name": "qianfan", "model": "qwen2.5-vl-32b-instruct"},
        body={"model": "qwen2.5-vl-32b-instruct", "messages": said(
            words("x"), {"type": "video_url", "video_url": {"url": CLIP, "fps": 1}})}),
    doc(row={"contents": [{"text": "x"}, {"image": BAIDU[0], "detail": "auto"}]}, on=ernie(),
        path="/v2/chat/completions",
        body={"model": "ernie-4.5-8k-preview", "messages": said(words("x"), shown(BAIDU[0], detail="auto"))}),
    # A newer embedding model fuses when asked (§5.5)
    doc(task="embed", row={"image": SMALL, "text": "a cat"}, on=native("qwen3-vl-embedding", parameters={
            "dimension": 1536}), path="/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding",
        body={"model": "qwen3-vl-embedding", "input": {"contents": [{"image": SMALL}, {"text": "a cat"}]},
              "parameters": {"dimension": 1536, "enable_fusion": True}}),
]  # fmt: skip

SAMPLES = [*LLAMA_VISION, *QWEN_NATIVE, *QWEN_COMPATIBLE, *QIANFAN, *EMBEDDING, *FURTHER]


def filled(value: Any, marks: dict[str, str]) -> Any:
    """`value` with each text that is a mark, such as `{answer}`, replaced."""
    if isinstance(value, str):
        return marks.get(value, value)
    if isinstance(value, dict):
        return {key: filled(inner, marks) for key, inner in value.items()}
    return [filled(inner, marks) for inner in value] if isinstance(value, list) else value


def settings(sample: Sample) -> str:
    """The settings of a sample's job as text."""
    return json.dumps([sample.provider, sample.task, sample.prompt], ensure_ascii=False, sort_keys=True)
