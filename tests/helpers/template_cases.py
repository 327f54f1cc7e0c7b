"""Chat templates in the styles that models use, written for these tests, and a small byte-level tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = [
    "<s>",
    "</s>",
    "<pad>",
    "<|im_start|>",
    "<|im_end|>",
    "<|head|>",
    "<|/head|>",
    "<|eot|>",
    "<turn>",
    "</turn>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<|endoftext|>",
]
CORPUS = [
    "The weather in Paris is fine today.\n\nIs it? Yes, it is.",
    "user assistant system tool model <think> </think> [INST] [/INST] USER: ASSISTANT:",
    "Bonjour, 你好，世界！ 🙂 émoji\n\tcode = {'a': 1}",
]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
CHATML_TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\\n' }}{% for t in tools %}{{ t | tojson }}{% endfor %}{{ '<|im_end|>\\n' }}"
    "{% endif %}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ '<call>' + c.function.name + ' ' + (c.function.arguments | tojson) }}"
    "{{ '</call>' }}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_MARKED = (
    "{%% for m in messages %%}{{ '<|im_start|>' + m['role'] + '\\n' }}{%% if m['role'] == 'assistant' %%}%s"
    "{%% else %%}{{ m['content'] + '<|im_end|>' }}{%% endif %%}{{ '\\n' }}{%% endfor %%}"
    "{%% if add_generation_prompt %%}{{ '<|im_start|>assistant\\n' }}{%% endif %%}"
)
CHATML_MARKED = _MARKED % "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"
# The broken ones: the end-of-turn token outside the markers, nothing marked, half of the reply marked, header marked.
MARKED_NO_END = _MARKED % "{% generation %}{{ m['content'] }}{% endgeneration %}{{ '<|im_end|>' }}"
MARKED_NOTHING = _MARKED % "{% generation %}{% endgeneration %}{{ m['content'] + '<|im_end|>' }}"
MARKED_HALF = _MARKED % "{{ m['content'][:3] }}{% generation %}{{ m['content'][3:] + '<|im_end|>' }}{% endgeneration %}"
MARKED_HEADER = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{% generation %}{{ '<|im_start|>assistant\\n' + "
    "m['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}{% else %}{{ '<|im_start|>' + m['role'] + '\\n' + "
    "m['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
INST = (  # Llama-2 style: BOS in every turn, the system message inside the first user message, no generation prompt
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set sys = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set sys = '' %}{% endif %}{% for m in rest %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' }}{% if loop.first and sys %}"
    "{{ '<<SYS>>\\n' + sys + '\\n<</SYS>>\\n\\n' }}{% endif %}{{ m['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
HEADERS = (  # Llama-3 style
    "{{ bos_token }}{% for m in messages %}{{ '<|head|>' + m['role'] + '<|/head|>\\n\\n' + m['content'] | trim + "
    "'<|eot|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|head|>assistant<|/head|>\\n\\n' }}{% endif %}"
)
MODEL_ROLE = (  # Gemma style: role "model", no system message
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}"
    "{% endif %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}{{ '<turn>' + role + '\\n' + "
    "m['content'] | trim + '</turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<turn>model\\n' }}{% endif %}"
)
APPENDED = (  # Phi-3 style: a text at the very end of a dialogue only
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}"
)
THINKING = (  # Qwen3 style: reasoning only behind the last user message, and an empty block in the last reply
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% set content = m.content or '' %}{{ '<|im_start|>' + m.role + "
    "'\\n' }}{% if m.role == 'assistant' %}{% set thought = m.reasoning_content or '' %}{% if '</think>' in content %}"
    "{% set thought = content.split('</think>')[0].split('<think>')[-1] %}"
    "{% set content = content.split('</think>')[-1] | trim %}{% endif %}{% if loop.index0 > ns.last %}"
    "{{ '<think>\\n' + thought | trim + '\\n</think>\\n\\n' }}{% endif %}{% endif %}{{ content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
PLAIN = (  # Vicuna style: no special token but EOS
    "{% for m in messages %}{% if m.role == 'user' %}{{ 'USER: ' + m.content + ' ASSISTANT:' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}{% else %}{{ m.content + ' ' }}{% endif %}"
    "{% endfor %}"
)
SYSTEM_LAST = (  # Mistral style: the system message stands before the last user message
    "{% for m in messages %}{% if m.role == 'user' %}{% if loop.index0 >= messages | length - 2 and "
    "messages[0].role == 'system' %}{{ '[INST] ' + messages[0].content + '\\n' + m.content + ' [/INST]' }}{% else %}"
    "{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% elif m.role == 'assistant' %}"
    "{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
EOS_LAST = (  # only the last reply is ended by EOS
    "{% for m in messages %}{{ m.role + ': ' + m.content }}"
    "{{ (eos_token if loop.last and m.role == 'assistant' else '') + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
NO_END = (  # no end-of-turn token at all
    "{% for m in messages %}{{ '### ' + m.role + '\\n' + m.content + '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant\\n' }}{% endif %}"
)
DATED = "{{ 'Today is ' + strftime_now('%d %b %Y') + '\\n' }}" + CHATML
TICKING = "{{ strftime_now('%H:%M:%S.%f') + '\\n' }}" + CHATML
DROPS_TEXT = CHATML.replace("m['content']", "(m['content'] if m['role'] != 'assistant' else '')")

# name -> (template, end of a turn): those that show every reply as at inference
FAITHFUL = {
    "chatml": (CHATML, "<|im_end|>"),
    "chatml_tools": (CHATML_TOOLS, "<|im_end|>"),
    "chatml_marked": (CHATML_MARKED, "<|im_end|>"),
    "marked_no_end": (MARKED_NO_END, "<|im_end|>"),
    "marked_nothing": (MARKED_NOTHING, "<|im_end|>"),
    "marked_half": (MARKED_HALF, "<|im_end|>"),
    "marked_header": (MARKED_HEADER, "<|im_end|>"),
    "inst": (INST, "</s>"),
    "headers": (HEADERS, "<|eot|>"),
    "model_role": (MODEL_ROLE, "</turn>"),
    "appended": (APPENDED, "<|end|>"),
    "plain": (PLAIN, "</s>"),
    "dated": (DATED, "<|im_end|>"),
}


def make_tokenizer(
    template: str | None = None, *, trim_offsets: bool = False, special: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A byte-level BPE of about 500 tokens; it can write any text."""
    specials = list(dict.fromkeys([*SPECIAL, *special]))
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=500 + len(special),
            min_frequency=1,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if trim_offsets:
        bpe.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        pad_token=SPECIAL[2],
        extra_special_tokens=specials[3:],
    )
    tokenizer.chat_template = template
    return tokenizer


def chat(*texts: str, system: str | None = None) -> list[dict]:
    """Messages that alternate user and assistant, behind an optional system message."""
    messages = [{"role": "system", "content": system}] if system is not None else []
    for number, text in enumerate(texts):
        messages.append({"role": "assistant" if number % 2 else "user", "content": text})
    return messages


def supervised_text(tokenizer, encoded, turn_index: int) -> str:
    ids = [token for token, turn in zip(encoded.input_ids, encoded.turn_ids, strict=True) if turn == turn_index]
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


THREE_TURNS = chat("Is it fine?", "Yes, it is.", "In Paris?", "你好 🙂", "Bye", "The end\nof it.")


def chat_ids(tokenizer, messages, **options):
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)["input_ids"]
