"""The providers that LiteLLM names in front of a model, and where guardproxy reaches them.

guardproxy passes a request on in the format in which the client wrote it, and LiteLLM's clients write OpenAI's. So a provider
can be taken if it has an endpoint in that format, below a base URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider. `url`: its base URL, without `/v1`; empty if the deployment must have `api_base`. `below`: a path that is
    added to `api_base`. `remark`: what its users must know; empty if nothing changes."""

    url: str = ""
    below: str = ""
    remark: str = ""


DEFAULT = "openai"  # of a model without a provider
PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("https://api.openai.com"),
    "text-completion-openai": Provider("https://api.openai.com"),
    "anthropic": Provider(
        "https://api.anthropic.com", remark="clients use POST /v1/messages, or Anthropic's endpoint in OpenAI's format"
    ),
    "azure": Provider(below="/openai", remark="guardproxy uses the v1 API of Azure, which needs no `api_version`"),
    "groq": Provider("https://api.groq.com/openai"),
    "mistral": Provider("https://api.mistral.ai"),
    "deepseek": Provider("https://api.deepseek.com"),
    "openrouter": Provider("https://openrouter.ai/api"),
    "together_ai": Provider("https://api.together.xyz"),
    "fireworks_ai": Provider("https://api.fireworks.ai/inference"),
    "xai": Provider("https://api.x.ai"),
    "cerebras": Provider("https://api.cerebras.ai"),
    "nvidia_nim": Provider("https://integrate.api.nvidia.com"),
    "ollama": Provider("http://127.0.0.1:11434"),
    "ollama_chat": Provider("http://127.0.0.1:11434"),
    "hosted_vllm": Provider(),
    "vllm": Provider(),
    "openai_like": Provider(),
    "custom_openai": Provider(),
    "litellm_proxy": Provider(),
    "lm_studio": Provider(),
    "llamafile": Provider(),
    "xinference": Provider(),
}
"""By LiteLLM's name."""
TRANSLATED = frozenset(
    (
        *(
            "ai21",
            "aleph_alpha",
            "azure_ai",
            "bedrock",
            "clarifai",
            "cloudflare",
            "cohere",
            "cohere_chat",
            "databricks",
        ),
        *(
            "deepinfra",
            "gemini",
            "github",
            "huggingface",
            "nlp_cloud",
            "oci",
            "palm",
            "perplexity",
            "petals",
            "predibase",
        ),
        *("replicate", "sagemaker", "sagemaker_chat", "snowflake", "triton", "vertex_ai", "vertex_ai_beta", "voyage"),
        "watsonx",
    )
)
"""The providers whose requests LiteLLM translates or signs."""
