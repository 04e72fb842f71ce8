// The official JavaScript client against a gateway: `node drive.mjs '{"url": ..., "key": ..., ...}'` prints what each
// scenario saw, as one JSON object. What is right is judged by test_javascript.py.
import OpenAI from "openai";

const given = JSON.parse(process.argv[2]);
const make = (more) => new OpenAI({ baseURL: given.url, apiKey: given.key, maxRetries: 0, ...more });
const client = make();
const messages = [{ role: "user", content: "How can I fall asleep faster?" }];
const base = { model: "plaudit", messages, max_tokens: 12 };
const seeded = { ...base, seed: 7, stop: ["e"], temperature: 1.3, n: 2 };

async function refusal(work) {
  try {
    await work();
    return { name: "none" };
  } catch (error) {
    return {
      name: error.constructor.name, status: error.status, code: error.code, param: error.param,
      retryAfter: error.headers?.get("retry-after") ?? null,
    };
  }
}

const scenarios = {
  async chat() {
    const { data, response } = await client.chat.completions.create({ ...seeded, logprobs: true }).withResponse();
    return { data, id: response.headers.get("x-plaudit-response-id"), adapter: response.headers.get("x-plaudit-adapter") };
  },
  async stream() {
    const options = { ...seeded, stream: true, stream_options: { include_usage: true } };
    const texts = ["", ""], reasons = [null, null];
    let usage = null;
    for await (const chunk of await client.chat.completions.create(options)) {
      usage = chunk.usage ?? usage;
      for (const choice of chunk.choices) {
        texts[choice.index] += choice.delta.content ?? "";
        reasons[choice.index] = choice.finish_reason ?? reasons[choice.index];
      }
    }
    return { texts, reasons, usage };
  },
  async helper() { // the client's own accumulator
    const runner = client.chat.completions.stream({ ...base, seed: 3, logprobs: true });
    return { completion: await runner.finalChatCompletion() };
  },
  async models() {
    const listed = [];
    for await (const model of client.models.list()) listed.push(model.id);
    return { listed, one: (await client.models.retrieve("base")).id };
  },
  async refused() {
    const tools = [{ type: "function", function: { name: "f" } }];
    const large = [{ role: "user", content: "x".repeat(1 << 20) }];
    return {
      parameter: await refusal(() => client.chat.completions.create({ ...base, tools })),
      stream: await refusal(() => client.chat.completions.create({ ...base, stream: true, temperature: 3 })),
      model: await refusal(() => client.chat.completions.create({ ...base, model: "kind@7" })),
      large: await refusal(() => client.chat.completions.create({ ...base, messages: large })),
      key: await refusal(() => make({ apiKey: "plk-of-somebody-else" }).models.list()),
      scope: await refusal(() => make({ apiKey: given.otherKey }).chat.completions.create(base)),
    };
  },
  async limited() {
    const ask = (caller) => caller.chat.completions.create({ ...base, max_tokens: 2, user: "javascript" });
    await ask(client);
    await ask(client);
    const refused = await refusal(() => ask(client));
    const started = performance.now();
    const answered = await ask(make({ maxRetries: 1 }));
    return { refused, id: answered.id, seconds: (performance.now() - started) / 1000 };
  },
  async cancelled() {
    const options = { ...base, model: "base", max_tokens: 400, temperature: 2, stream: true };
    const { data: stream, response } = await client.chat.completions.create(options).withResponse();
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) break; // leaving the loop aborts the request
    }
    return { id: response.headers.get("x-plaudit-response-id"), aborted: stream.controller.signal.aborted };
  },
  async completions() {
    const options = { model: "plaudit", prompt: "Once upon", max_tokens: 8, seed: 5, logprobs: 0 };
    const plain = await client.completions.create(options);
    let streamed = "";
    for await (const chunk of await client.completions.create({ ...options, stream: true })) {
      streamed += chunk.choices[0]?.text ?? "";
    }
    return { plain, streamed };
  },
};

const seen = {};
for (const name of given.scenarios) {
  seen[name] = await scenarios[name]().catch((error) => ({ failed: `${error.constructor.name}: ${error.message}` }));
}
console.log(JSON.stringify(seen));
