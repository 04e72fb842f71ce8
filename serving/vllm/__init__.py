"""An engine whose replicas are vLLM servers, reached over HTTP."""
