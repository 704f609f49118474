"""tritonclient.http, as its users call it."""

import time

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


def check_large_answers_come_compressed_when_asked_for(client):
    large = np.zeros((20_000, 4), dtype=np.float32)
    for algorithm in ("gzip", "deflate"):
        for binary in (True, False):
            answer = client.infer(
                MODEL,
                inputs(large),
                model_version="1",
                outputs=[http.InferRequestedOutput("y", binary_data=binary)],
                request_compression_algorithm=algorithm,
                response_compression_algorithm=algorithm,
            )
            np.testing.assert_array_equal(answer.as_numpy("y"), large + 1)
            assert answer.get_response()["outputs"][0]["shape"] == [20_000, 4]


def check_names_with_blanks_and_beyond_ascii(client):
    for name in ("acme/größe ✓", "Ünïcode model"):
        assert client.is_model_ready(name)
        assert client.get_model_metadata(name)["name"] == name
        assert client.get_model_config(name, "1")["name"] == name
        answer = client.infer(name, inputs())
        assert answer.get_response()["model_name"] == name
        np.testing.assert_array_equal(answer.as_numpy("y"), X + 1)
        assert [row["name"] for row in client.get_inference_statistics(name)["model_stats"]] == [name]
        client.unload_model(name)
        client.load_model(name)
        rows = {row["name"]: row["state"] for row in client.get_model_repository_index()}
        assert rows[name] == "READY", rows


def check_the_best_classes_of_an_output(client):
    scores = np.array([[0.5, 2, 1, -1], [4, 3, 2, 1]], dtype=np.float32)
    for binary in (True, False):
        wanted = [http.InferRequestedOutput("y", binary_data=binary, class_count=2)]
        best = client.infer(MODEL, inputs(scores), model_version="1", outputs=wanted).as_numpy("y")
        texts = [[w if isinstance(w, str) else w.decode() for w in row] for row in best]
        assert texts == [["3.000000:1", "2.000000:2"], ["5.000000:0", "4.000000:1"]], texts


def check_model_configuration(client):
    config = client.get_model_config("acme/churn", "1")
    assert config["name"] == MODEL and config["platform"] == "onnxruntime_onnx" and config["backend"] == "onnxruntime"
    client.infer("stacked", inputs())
    deadline = time.monotonic() + 30
    while True:
        config = client.get_model_config("stacked")
        if config["max_batch_size"] > 0 or time.monotonic() > deadline:
            break
    # Found safe to stack, so that the rows are the server's to choose.
    assert config["max_batch_size"] == 64 and config["dynamic_batching"]["max_queue_delay_microseconds"] == 0, config
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]
    assert config["output"] == [{"name": "y", "data_type": "TYPE_FP32", "dims": [4]}]
    assert config["instance_group"][0]["kind"] == "KIND_CPU"
    raises(404, "acme/nope", client.get_model_config, "acme/nope")


def check_parameters_of_a_request(client):
    answer = client.infer(MODEL, inputs(), model_version="1", priority=2, timeout=1, parameters={"note": "mine"})
    np.testing.assert_array_equal(answer.as_numpy("y"), X + 1)
    raises(501, "sequences", client.infer, MODEL, inputs(), model_version="1", sequence_id=7, sequence_start=True)


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
    assert one[0]["inference_count"] >= 1 and one[0]["execution_count"] >= 1
    assert [(use["type"], use["id"]) for use in one[0]["memory_usage"]] == [("CPU", 0)]
    assert one[0]["memory_usage"][0]["byte_size"] > 0
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
