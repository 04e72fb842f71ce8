"""`plaudit load`: a black-box client that puts load on any OpenAI-compatible server and reports what its users feel."""
