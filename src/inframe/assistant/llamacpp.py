"""GGUF models by llama.cpp: the C interface of the library within the `xllamacpp` wheel, called directly.

Not that package's own Server: it opens a listener on loopback and starts threads for it. The library is mapped and its few
functions are called; nothing of the package is imported. Structures that llama.cpp passes by value are given as blocks larger
than they are, of which only the first three numbers of the context's (unchanged since 2023, and checked here against their
defaults) are set; so a newer library keeps working, or is refused before a model is read. Source: llama.h of ggml-
org/llama.cpp.
"""

import ctypes
import importlib.util
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PACKAGE = "xllamacpp"
BATCH = 512
_DEFAULTS = (512, 2048, 512)  # n_ctx, n_batch, n_ubatch
_PIECE = 256
_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class _Block(ctypes.Structure):
    """Any structure passed by value, with room to spare."""

    _fields_ = (("bytes", ctypes.c_ubyte * 512),)


class _Chain(ctypes.Structure):
    _fields_ = (("no_perf", ctypes.c_bool),)


class _Batch(ctypes.Structure):
    _fields_ = (("room", ctypes.c_uint64 * 16),)


_pointer, _int, _numbers = ctypes.c_void_p, ctypes.c_int32, ctypes.POINTER(ctypes.c_int32)
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_log_set": (None, (_LOG, _pointer)),
    "llama_backend_init": (None, ()),
    "llama_model_default_params": (_Block, ()),
    "llama_context_default_params": (_Block, ()),
    "llama_model_load_from_file_ptr": (_pointer, (_pointer, _Block)),
    "llama_model_get_vocab": (_pointer, (_pointer,)),
    "llama_init_from_model": (_pointer, (_pointer, _Block)),
    "llama_set_n_threads": (None, (_pointer, _int, _int)),
    "llama_n_ctx": (ctypes.c_uint32, (_pointer,)),
    "llama_get_memory": (_pointer, (_pointer,)),
    "llama_memory_clear": (None, (_pointer, ctypes.c_bool)),
    "llama_tokenize": (_int, (_pointer, ctypes.c_char_p, _int, _numbers, _int, ctypes.c_bool, ctypes.c_bool)),
    "llama_token_to_piece": (_int, (_pointer, _int, ctypes.c_char_p, _int, _int, ctypes.c_bool)),
    "llama_vocab_is_eog": (ctypes.c_bool, (_pointer, _int)),
    "llama_batch_get_one": (_Batch, (_numbers, _int)),
    "llama_decode": (_int, (_pointer, _Batch)),
    "llama_sampler_chain_init": (_pointer, (_Chain,)),
    "llama_sampler_chain_add": (None, (_pointer, _pointer)),
    "llama_sampler_init_grammar": (_pointer, (_pointer, ctypes.c_char_p, ctypes.c_char_p)),
    "llama_sampler_init_greedy": (_pointer, ()),
    "llama_sampler_sample": (_int, (_pointer, _pointer, _int)),
    "llama_sampler_free": (None, (_pointer,)),
}


def library() -> Path | None:
    """The library's file, where the package is installed; the package itself is not run."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    return next((path for folder in folders for path in sorted(Path(folder).glob("xllamacpp*.so"))), None)


_silent = _LOG(lambda _level, _text, _data: None)
"""llama.cpp's log: it repeats what is in the model's file."""


class LlamaCpp:
    """The engine (inside.Engine). One thread: the box has one core's idle time."""

    def __init__(self) -> None:
        """Maps the library; reads no model. Raises OSError where it is not installed or not one that is known here."""
        path = library()
        if path is None:
            raise OSError(2, f"the package {PACKAGE} is not installed")
        found = ctypes.CDLL(str(path))
        self._call: dict[str, Callable[..., Any]] = {}
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
            self._call[name] = function
        self._call["llama_log_set"](_silent, None)
        self._call["llama_backend_init"]()
        self._params = self._call["llama_context_default_params"]()
        if struct.unpack_from("3I", self._params.bytes) != _DEFAULTS:
            raise OSError(22, f"the library in {PACKAGE} is of a layout that is not known here")
        self._libc = ctypes.CDLL(None)
        self._libc.fdopen.restype, self._libc.fdopen.argtypes = _pointer, [ctypes.c_int, ctypes.c_char_p]
        self._context: int | None = None
        self._vocabulary: int | None = None
        self._size = 0

    def load(self, model: int, context: int) -> None:
        """See Engine."""
        call = self._call
        os.lseek(model, 0, os.SEEK_SET)
        file = self._libc.fdopen(model, b"rb")
        loaded = call["llama_model_load_from_file_ptr"](file, call["llama_model_default_params"]()) if file else None
        if not loaded:
            raise ValueError("found no GGUF model that llama.cpp reads")
        struct.pack_into("3I", self._params.bytes, 0, context, BATCH, BATCH)
        self._context = call["llama_init_from_model"](loaded, self._params)
        if not self._context:
            raise ValueError(f"no room for a context of {context} tokens")
        call["llama_set_n_threads"](self._context, 1, 1)
        self._vocabulary = call["llama_model_get_vocab"](loaded)
        self._size = call["llama_n_ctx"](self._context)

    def write(self, prompt: str, grammar: str | None, most: int) -> Iterator[str]:
        """See Engine. Always the likeliest token that the grammar allows: the same prompt gives the same text."""
        call = self._call
        tokens = self._tokens(prompt)
        room = self._size - len(tokens)
        if room < 1:
            raise ValueError(f"found a prompt of {len(tokens)} tokens, expected fewer than {self._size}")
        sampler = self._sampler(grammar)
        try:
            call["llama_memory_clear"](call["llama_get_memory"](self._context), True)
            for at in range(0, len(tokens), BATCH):
                self._decode(tokens[at : at + BATCH])
            for _ in range(min(room, most)):
                token = call["llama_sampler_sample"](sampler, self._context, -1)
                if call["llama_vocab_is_eog"](self._vocabulary, token):
                    return
                yield self._piece(token)
                self._decode([token])
        finally:
            call["llama_sampler_free"](sampler)

    def _tokens(self, text: str) -> list[int]:
        raw = text.encode()
        room = (ctypes.c_int32 * (len(raw) + 8))()
        n = self._call["llama_tokenize"](self._vocabulary, raw, len(raw), room, len(room), False, False)
        if n <= 0:
            raise ValueError("found a prompt without a token")
        return list(room[:n])

    def _sampler(self, grammar: str | None) -> int:
        call = self._call
        chain: int = call["llama_sampler_chain_init"](_Chain(True))
        if grammar is not None:
            rules = call["llama_sampler_init_grammar"](self._vocabulary, grammar.encode(), b"root")
            if not rules:
                call["llama_sampler_free"](chain)
                raise ValueError("found a grammar that llama.cpp does not read")
            call["llama_sampler_chain_add"](chain, rules)
        call["llama_sampler_chain_add"](chain, call["llama_sampler_init_greedy"]())
        return chain

    def _decode(self, tokens: list[int]) -> None:
        numbers = (ctypes.c_int32 * len(tokens))(*tokens)
        if self._call["llama_decode"](self._context, self._call["llama_batch_get_one"](numbers, len(tokens))):
            raise ValueError("the engine can't go on: its context is full")

    def _piece(self, token: int) -> str:
        room = ctypes.create_string_buffer(_PIECE)
        n = self._call["llama_token_to_piece"](self._vocabulary, token, room, _PIECE, 0, False)
        return room.raw[: max(0, n)].decode("utf-8", "replace")
