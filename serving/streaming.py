"""A streamed response: tokens as they are drawn, as text that is safe to show, as server-sent events.

What has come by the time the client can be written to goes out as one piece: under load fewer and longer ones.
"""

import asyncio
import functools
from concurrent.futures import Future

import structlog
from starlette.types import Receive, Send

from infra.contracts import PlauditError
from infra.metrics import catalogue as metrics
from infra.models.port import GenerationResult
from serving import responses
from serving.answering import AnswerTimedOut
from serving.counting import count_request
from serving.exchange import Exchange
from serving.growing import Growing
from serving.headers import EVENT_STREAM, headers_of
from serving.mailbox import Mailbox
from serving.service import Gateway
from serving.shapes import shape_of

log = structlog.get_logger()

TICK_SECONDS = 0.5
"""How finely a stream's deadlines are kept."""
LATE = "the answer did not come in time: try again, with a smaller max_tokens"
_Arrival = tuple[int, Future[GenerationResult] | None, int, float]


class Stream:
    """The chunks of one exchange. Made on the event loop; making it queues the exchange and raises what `submit`
    raises."""

    def __init__(self, gateway: Gateway, exchange: Exchange, mailbox: Mailbox) -> None:
        self._gateway = gateway
        self._exchange = exchange
        self._mailbox = mailbox
        loaded = gateway.loaded
        self._shape = shape_of(exchange, f"fp_{loaded.base_model_hash[:12]}")
        self._choices = [Growing(loaded.tokenizer, exchange.chat, gateway.filters) for _ in range(exchange.choices)]
        self._arrived: list[_Arrival] = []
        self._wake = asyncio.Event()
        self._left = False
        self._late = False
        self._futures = gateway.submit(exchange, self._token)
        for choice, future in enumerate(self._futures):
            future.add_done_callback(functools.partial(self._ended, choice))

    async def respond(self, receive: Receive, send: Send) -> None:
        """Send the response; if the client leaves, what it was shown is logged all the same. Raises what generation
        raised, or AnswerTimedOut, before anything came: it then still has a status, by which clients try again."""
        loop = asyncio.get_running_loop()
        watch = loop.create_task(self._watch(receive))
        ticks = loop.create_task(self._tick(loop))
        outcome = "left"
        try:
            # Until something has come (a token, an end, the client's leaving, a deadline) another adapter may answer
            # than the one that was to: the header tells which one does.
            await self._wake.wait()
            outcome = "error"
            self._raise_what_came_before_anything()
            outcome = "left"
            headers = [EVENT_STREAM, *headers_of(self._exchange, self._gateway.state)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            # A client that reads too slowly holds up `send`, which no tick can interrupt.
            async with asyncio.timeout(self._gateway.settings.stream_timeout_seconds + 2 * TICK_SECONDS):
                outcome = await self._body(send)
        except TimeoutError:
            log.info("slow_client_cut_off", response_id=self._exchange.response_id)
        finally:
            watch.cancel()
            ticks.cancel()
            count_request(True, outcome, self._exchange.elapsed())

    def _raise_what_came_before_anything(self) -> None:
        if self._left or any(future is None for _, future, _, _ in self._arrived):
            return
        failed = (future.exception() for _, future, _, _ in self._arrived if future is not None)
        error = next((error for error in failed if error is not None), None)
        if error is None and self._late and not self._arrived:
            error = AnswerTimedOut(LATE)
        if error is None:
            return
        self._exchange.cancel()
        if isinstance(error, PlauditError):
            self._gateway.unanswered(self._exchange, error)
        raise error

    async def _body(self, send: Send) -> str:
        complete = False
        try:
            await _send(send, self._shape.begin(len(self._choices), self._exchange.notice()))
            while not all(choice.result is not None for choice in self._choices):
                piece = await self._next_piece()
                if piece:
                    await _send(send, piece)
            complete = True
            await _send(send, await self._last_piece(), more=False)
            return "ok"
        except PlauditError as error:
            if not complete:
                self._gateway.unanswered(self._exchange, error)
            return await self._fail(send, error)
        except _ClientLeft:
            return "left"
        except Exception:  # the status has gone out: without this the answer would just stop, and say nothing
            log.exception("stream_failed", response_id=self._exchange.response_id)
            return await self._fail(send, responses.unexpected())
        finally:
            self._exchange.cancel()
            if not complete:
                self._gateway.in_background(self._remember())

    async def _fail(self, send: Send, error: PlauditError) -> str:
        metrics.SERVING_REFUSED.labels(code=error.code).inc()
        await _send(send, responses.event(responses.error(error)), more=False)
        return "error"

    async def _last_piece(self) -> bytes:
        """Log, then end. Shielded: the answer was shown, so it is logged even if the client leaves at this moment."""
        shown = [choice.shown() for choice in self._choices]
        finishing = self._gateway.finish(self._exchange, self._results(), shown)
        answers = await asyncio.shield(self._gateway.in_background(finishing))
        self._futures = []  # their callbacks lead back here: what is left is freed without the collector
        last = [
            self._shape.end(place, answer.finish_reason, self._choices[place].logprobs())
            for place, answer in enumerate(answers)
        ]
        if self._exchange.chat.include_usage:
            counts = (len(result.token_ids) for result in self._results())
            last.append(self._shape.usage(responses.usage_of(len(self._exchange.prompt_token_ids), counts)))
        return b"".join([*last, responses.DONE])

    async def _next_piece(self) -> bytes:
        """What there is to send next, b"" if it is held back. Raises what generation raised, AnswerTimedOut, and
        _ClientLeft."""
        await self._wake.wait()
        self._wake.clear()
        if self._left:
            raise _ClientLeft
        arrived, self._arrived = self._arrived, []
        for place, future, token, logprob in arrived:
            if future is None:
                self._choices[place].push(token, logprob)
            else:
                self._choices[place].end(future)
        if self._late and not all(choice.result is not None for choice in self._choices):
            raise AnswerTimedOut(LATE)
        if all(choice.blocked for choice in self._choices):
            self._exchange.cancel()  # nobody will see what follows
        pieces = [(place, choice, choice.piece()) for place, choice in enumerate(self._choices)]
        return b"".join([self._shape.piece(place, text, choice.logprobs()) for place, choice, text in pieces if text])

    def _token(self, choice: int, token: int, logprob: float) -> None:
        """Called from the engine's thread."""
        self._mailbox.post(self._arrive, (choice, None, token, logprob))

    def _ended(self, choice: int, future: "Future[GenerationResult]") -> None:
        """Called from the engine's thread."""
        self._mailbox.post(self._arrive, (choice, future, 0, 0.0))

    def _arrive(self, arrival: _Arrival) -> None:
        self._arrived.append(arrival)
        self._wake.set()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._wake.set()

    async def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends a stream in which nothing has come for too long, or that takes too long."""
        settings = self._gateway.settings
        began = heard = loop.time()
        seen = 0
        while not self._late:
            await asyncio.sleep(min(TICK_SECONDS, settings.request_timeout_seconds, settings.stream_timeout_seconds))
            drawn = sum(turn.drawn_tokens for turn in self._exchange.turns)
            now = loop.time()
            if drawn != seen:
                seen, heard = drawn, now
            quiet, lasted = now - heard, now - began
            if quiet > settings.request_timeout_seconds or lasted > settings.stream_timeout_seconds:
                self._late = True
                self._wake.set()

    def _results(self) -> list[GenerationResult]:
        return [choice.result for choice in self._choices if choice.result is not None]

    async def _remember(self) -> None:
        """The answer broke off: people vote on what they saw, so it is logged as far as it came."""
        try:
            ended = await asyncio.gather(*map(asyncio.wrap_future, self._futures), return_exceptions=True)
            results = [result for result in ended if isinstance(result, GenerationResult)]
            if len(results) == len(ended) and any(result.token_ids for result in results):
                await self._gateway.finish(self._exchange, results)
        except PlauditError as error:
            log.warning("partial_answer_not_logged", response_id=self._exchange.response_id, reason=error.message)
        except Exception:  # nobody waits for this task: it tells the operator, or nobody
            metrics.SERVING_INTERACTIONS_LOST.inc()
            log.exception("partial_answer_not_logged", response_id=self._exchange.response_id)
        finally:
            self._futures = []


class _ClientLeft(Exception):
    """Nobody reads any more."""


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
