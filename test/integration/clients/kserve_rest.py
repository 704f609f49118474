"""KServe's InferenceRESTClient, as its users call it."""

import checks
import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

MODEL = "acme/churn"
X = np.arange(8, dtype=np.float32).reshape(2, 4)
BASE = f"http://{checks.url()}"


def client():
    return InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=60))


def request(array=X, datatype="FP32", binary=False, binary_out=None, name="x", model=MODEL):
    tensor = InferInput(name=name, shape=list(array.shape), datatype=datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    outputs = [] if binary_out is None else [RequestedOutput("y", parameters={"binary_data": binary_out})]
    return InferRequest(model_name=model, infer_inputs=[tensor], request_outputs=outputs, request_id="r-2")


async def check_health():
    async with client() as rest:
        assert await rest.is_server_live(BASE)
        assert await rest.is_server_ready(BASE)
        assert await rest.is_model_ready(BASE, MODEL)


async def check_infer_with_every_mix_of_json_and_binary():
    async with client() as rest:
        for binary in (False, True):
            for binary_out in (None, False, True):
                data = request(binary=binary, binary_out=binary_out)
                answer = await rest.infer(BASE, data, model_name=f"{MODEL}/versions/1")
                assert answer.model_name == MODEL and answer.id == "r-2"
                np.testing.assert_array_equal(answer.outputs[0].as_numpy(), X + 1)


async def check_infer_with_the_header_of_multiplexed_models():
    async with client() as rest:
        headers, seen = {"serve-multiplexed-model-id": f"{MODEL}@champion"}, {}
        answer = await rest.infer(BASE, request(), model_name=MODEL, headers=headers, response_headers=seen)
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), X + 1)
        assert seen["x-modelmux-version"] == "1"


async def check_infer_with_fp16_and_wide_integers():
    async with client() as rest:
        half = np.array([[0.5, 65504, -1 / 3]], dtype=np.float16)
        data = request(half, "FP16", binary=True, binary_out=True, model="types/fp16")
        answer = await rest.infer(BASE, data, model_name="types/fp16")
        np.testing.assert_array_equal(answer.outputs[0].as_numpy(), half)
        wide = np.array([[2**53 + 1, -(2**63), 2**63 - 1]], dtype=np.int64)
        for binary in (False, True):
            data = request(wide, "INT64", binary=binary, binary_out=binary, model="types/int64")
            answer = await rest.infer(BASE, data, model_name="types/int64")
            np.testing.assert_array_equal(answer.outputs[0].as_numpy(), wide)


async def check_a_plain_dictionary_is_a_request_too():
    async with client() as rest:
        data = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
        answer = await rest.infer(BASE, data, model_name=f"{MODEL}/versions/1")
        assert answer.outputs[0].data == [2, 3, 4, 5]


async def check_large_answers_that_come_compressed_unasked():
    large = np.zeros((20_000, 4), dtype=np.float32)
    async with client() as rest:
        for binary_out in (False, True):
            seen = {}
            data = request(large, binary=True, binary_out=binary_out)
            answer = await rest.infer(BASE, data, model_name=f"{MODEL}/versions/1", response_headers=seen)
            np.testing.assert_array_equal(answer.outputs[0].as_numpy(), large + 1)
            assert seen["content-encoding"] == "gzip", seen


async def check_names_with_blanks_and_beyond_ascii():
    async with client() as rest:
        for name in ("acme/größe ✓", "Ünïcode model"):
            assert await rest.is_model_ready(BASE, name)
            answer = await rest.infer(BASE, request(model=name), model_name=name)
            assert answer.model_name == name
            np.testing.assert_array_equal(answer.outputs[0].as_numpy(), X + 1)


async def check_errors_are_raised_with_status_and_message():
    async with client() as rest:
        for name, data, status, text in (
            ("acme/chrun", request(), 404, "'acme/churn'"),
            (MODEL, request(name="z"), 400, "'z'"),
            ("bad/model", request(), 422, "not"),
        ):
            try:
                await rest.infer(BASE, data, model_name=name)
            except httpx.HTTPStatusError as error:
                assert error.response.status_code == status, error
                assert text in str(error) or text in error.response.text, error
            else:
                raise AssertionError(f"nothing was raised; expected {status}")


if __name__ == "__main__":
    checks.run(globals())
