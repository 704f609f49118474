"""tritonclient.http, as its users call it."""

import checks
import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

MODEL = "acme/churn"
X = np.arange(8, dtype=np.float32).reshape(2, 4)


def inputs(array=X, datatype="FP32", binary=True, name="x"):
    tensor = http.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return [tensor]


def raises(status, text, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except InferenceServerException as error:
        assert str(error.status()) == str(status), error
        assert text in error.message(), error
        return
    raise AssertionError(f"nothing was raised; expected {status} {text}")


def check_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("acme/nope")
    server = client.get_server_metadata()
    assert server["name"] == "modelmux" and "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata(MODEL, "1")
    assert model["name"] == MODEL and model["versions"] == ["1", "2"]
    assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert model["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}]


def check_infer_with_every_mix_of_json_and_binary(client):
    for binary_in in (True, False):
        for binary_out in (True, False):
            outputs = [http.InferRequestedOutput("y", binary_data=binary_out)]
            answer = client.infer(
                MODEL, inputs(binary=binary_in), model_version="1", outputs=outputs, request_id="r-1"
            )
            np.testing.assert_array_equal(answer.as_numpy("y"), X + 1)
            response = answer.get_response()
            assert response["model_name"] == MODEL and response["model_version"] == "1"
            assert response["id"] == "r-1"


def check_infer_without_naming_outputs(client):
    np.testing.assert_array_equal(client.infer(MODEL, inputs(), model_version="1").as_numpy("y"), X + 1)


def check_infer_takes_the_latest_version(client):
    answer = client.infer(MODEL, inputs())
    assert answer.get_response()["model_version"] == "2"
    np.testing.assert_array_equal(answer.as_numpy("y"), X)


def check_infer_with_the_header_of_multiplexed_models(client):
    headers = {"serve_multiplexed_model_id": f"{MODEL}@champion"}
    answer = client.infer(MODEL, inputs(), headers=headers)
    assert answer.get_response()["model_version"] == "1"
    np.testing.assert_array_equal(answer.as_numpy("y"), X + 1)


def check_infer_compressed_both_ways(client):
    for algorithm in ("gzip", "deflate"):
        answer = client.infer(
            MODEL,
            inputs(),
            model_version="1",
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        np.testing.assert_array_equal(answer.as_numpy("y"), X + 1)


def check_infer_in_the_background(client):
    pending = [client.async_infer(MODEL, inputs(X + i), model_version="1") for i in range(16)]
    for i, one in enumerate(pending):
        np.testing.assert_array_equal(one.get_result().as_numpy("y"), X + i + 1)


def check_infer_with_the_datatypes_that_are_special(client):
    wide = np.array([[2**53 + 1, -(2**63), 2**63 - 1]], dtype=np.int64)
    for binary in (True, False):
        answer = client.infer("types/int64", inputs(wide, "INT64", binary), outputs=[http.InferRequestedOutput("y", binary)])
        np.testing.assert_array_equal(answer.as_numpy("y"), wide)
        words = np.array([["naïve ✓".encode(), b"", b"a b"]], dtype=np.object_)
        answer = client.infer("types/bytes", inputs(words, "BYTES", binary), outputs=[http.InferRequestedOutput("y", binary)])
        assert [w if isinstance(w, bytes) else w.encode() for w in answer.as_numpy("y").flat] == list(words.flat)
        odd = np.array([[np.nan, np.inf, -np.inf]], dtype=np.float32)
        answer = client.infer("types/fp32", inputs(odd, "FP32", binary), outputs=[http.InferRequestedOutput("y", binary)])
        np.testing.assert_array_equal(answer.as_numpy("y"), odd)
    half = np.array([[0.5, 65504, -1 / 3]], dtype=np.float16)
    np.testing.assert_array_equal(client.infer("types/fp16", inputs(half, "FP16")).as_numpy("y"), half)


def check_repository_index_load_and_unload(client):
    def state():
        rows = [row for row in client.get_model_repository_index() if row["name"] == "acme/unasked"]
        assert [row["version"] for row in rows] == ["1"]
        return rows[0]["state"]

    assert state() == "UNAVAILABLE"
    client.load_model("acme/unasked")
    assert state() == "READY"
    np.testing.assert_array_equal(client.infer("acme/unasked", inputs()).as_numpy("y"), X + 1)
    client.unload_model("acme/unasked")
    assert state() == "UNAVAILABLE"
    raises(501, "would bring a model along", client.load_model, "acme/unasked", config="{}", files={"file:1/model.onnx": b"x"})


def check_statistics(client):
    client.infer("types/fp32", inputs())
    one = client.get_inference_statistics("types/fp32", "1")["model_stats"]
    assert [row["name"] for row in one] == ["types/fp32"]
    assert one[0]["inference_stats"]["success"]["count"] >= 1
    every = client.get_inference_statistics()["model_stats"]
    assert "types/fp32" in [row["name"] for row in every]


def check_errors_are_raised_with_status_and_message(client):
    raises(404, "'acme/churn'", client.infer, "acme/chrun", inputs())
    raises(404, "no version 9", client.infer, MODEL, inputs(), model_version="9")
    raises(400, "'z'", client.infer, MODEL, inputs(name="z"))
    raises(400, "FP64", client.infer, MODEL, inputs(X.astype(np.float64), "FP64"))
    raises(422, "not", client.infer, "bad/model", inputs())
    raises(404, "acme/nope", client.get_model_metadata, "acme/nope")
    raises(404, "acme/nope", client.load_model, "acme/nope")


if __name__ == "__main__":
    with http.InferenceServerClient(checks.url(), concurrency=4, network_timeout=60.0) as client:
        checks.run(globals(), client)
