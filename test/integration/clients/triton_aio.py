"""tritonclient.http.aio, as its users call it."""

import asyncio

import checks
import numpy as np
import tritonclient.http.aio as http
from tritonclient.utils import InferenceServerException

MODEL = "acme/churn"
X = np.arange(8, dtype=np.float32).reshape(2, 4)


def inputs(array=X):
    tensor = http.InferInput("x", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return [tensor]


async def check_health_metadata_and_index():
    async with http.InferenceServerClient(checks.url()) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready(MODEL)
        assert (await client.get_model_metadata(MODEL))["versions"] == ["1", "2"]
        assert MODEL in [row["name"] for row in await client.get_model_repository_index()]


async def check_many_inferences_at_once():
    async with http.InferenceServerClient(checks.url()) as client:
        answers = await asyncio.gather(*(client.infer(MODEL, inputs(X + i), model_version="1") for i in range(32)))
        for i, answer in enumerate(answers):
            np.testing.assert_array_equal(answer.as_numpy("y"), X + i + 1)


async def check_configuration_statistics_and_names_beyond_ascii():
    async with http.InferenceServerClient(checks.url()) as client:
        for name in (MODEL, "acme/größe ✓", "Ünïcode model"):
            assert (await client.get_model_config(name, "1"))["name"] == name
            answer = await client.infer(name, inputs(), model_version="1")
            np.testing.assert_array_equal(answer.as_numpy("y"), X + 1)
            rows = (await client.get_inference_statistics(name, "1"))["model_stats"]
            assert [row["name"] for row in rows] == [name] and rows[0]["memory_usage"][0]["byte_size"] > 0


async def check_large_answers_compressed_or_not():
    large = np.zeros((20_000, 4), dtype=np.float32)
    async with http.InferenceServerClient(checks.url()) as client:
        for algorithm in (None, "gzip", "deflate"):
            answer = await client.infer(
                MODEL,
                inputs(large),
                model_version="1",
                request_compression_algorithm=algorithm,
                response_compression_algorithm=algorithm,
            )
            np.testing.assert_array_equal(answer.as_numpy("y"), large + 1)


async def check_errors_are_raised():
    async with http.InferenceServerClient(checks.url()) as client:
        try:
            await client.infer("acme/chrun", inputs())
        except InferenceServerException as error:
            assert "acme/churn" in error.message(), error
        else:
            raise AssertionError("nothing was raised")


if __name__ == "__main__":
    checks.run(globals())
