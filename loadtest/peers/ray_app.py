"""Ray Serve in front of a folder of ONNX models, as its documentation tells one to multiplex: the peer that benches compare with.

Models lie at FOLDER/<name>/1/model.onnx. A request names its model in the header `serve_multiplexed_model_id` and carries an Open
Inference Protocol JSON body of numeric tensors; the answer is OIP JSON. Prints `listening on http://HOST:PORT` when it answers, and ends
on SIGTERM. Every process it starts keeps the working directory that this one was started in, which is how its owner finds them all.
"""

import argparse
import asyncio
import ctypes
import json
import os
import secrets
import signal
import socket
import threading

# Read when ray is imported, here and in every process that it starts.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    # The mode that multiplexes: HAProxy does not look at the header that names the model.
    RAY_SERVE_ENABLE_HA_PROXY="0",
    # What keeps Ray on the loopback address, despite its name and also on Linux.
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    # Replicas would run at niceness 15, and lose to the load generator on the same cores.
    RAY_worker_niceness="0",
    # A token of this run's own: Ray's default leaves one in the home folder.
    RAY_AUTH_MODE="token",
    RAY_AUTH_TOKEN=secrets.token_hex(32),
)

import numpy
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

HOST = "127.0.0.1"
# The smallest that Ray takes is 75 MiB; nothing here goes through the object store.
OBJECT_STORE_BYTES = 80 * 1024 * 1024
# Above every concurrency that benches use: Ray's default of 5 would hold requests back at the router.
MAX_ONGOING_REQUESTS = 512
PR_SET_PDEATHSIG = 1

NUMPY_TYPES = {
    "BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
}
DATATYPES = {name: datatype for datatype, name in NUMPY_TYPES.items()}


def open_session(file: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def read_inputs(body: bytes) -> dict[str, numpy.ndarray]:
    return {
        tensor["name"]: numpy.array(tensor["data"], dtype=NUMPY_TYPES[tensor["datatype"]]).reshape(tensor["shape"])
        for tensor in json.loads(body)["inputs"]
    }


def write_answer(model: str, names: list[str], outputs: list[numpy.ndarray]) -> bytes:
    tensors = [
        {"name": name, "shape": output.shape, "datatype": DATATYPES[output.dtype.name], "data": output.ravel().tolist()}
        for name, output in zip(names, outputs)
    ]
    return json.dumps({"model_name": model, "model_version": "1", "outputs": tensors}).encode()


def deployment(folder: str, models_per_replica: int, replicas: int) -> serve.Application:
    # No CPUs are reserved: replicas share the cores with the proxy, as our workers do with the router.
    @serve.deployment(
        num_replicas=replicas, max_ongoing_requests=MAX_ONGOING_REQUESTS, ray_actor_options={"num_cpus": 0}
    )
    class Models:
        @serve.multiplexed(max_num_models_per_replica=models_per_replica)
        async def session(self, model: str) -> onnxruntime.InferenceSession:
            # In a thread, so that requests for models already open go on meanwhile.
            return await asyncio.to_thread(open_session, os.path.join(folder, model, "1", "model.onnx"))

        async def __call__(self, request: Request) -> Response:
            model = serve.get_multiplexed_model_id()
            session = await self.session(model)
            # On the loop: a run of the small models that this is compared on is shorter than the way to a thread.
            inputs = read_inputs(await request.body())
            outputs = session.run(None, inputs)
            names = [output.name for output in session.get_outputs()]
            return Response(write_answer(model, names, outputs), media_type="application/json")

    return Models.bind()


def keep_replica_on_loopback() -> None:
    """Runs first in every process of Ray: the one server that Serve would bind to all addresses is bound to this machine's own."""
    from ray._common import tls_utils

    add_port = tls_utils.add_port_to_grpc_server
    tls_utils.add_port_to_grpc_server = lambda server, address: add_port(server, address.replace("[::]", HOST))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", required=True, help="folder of models")
    parser.add_argument("--work", required=True, help="folder for Ray's sockets and logs; its path must be short")
    parser.add_argument("--replicas", type=int, required=True)
    parser.add_argument("--models-per-replica", type=int, required=True)
    args = parser.parse_args()

    # A bench that is killed cannot stop anything: the kernel tells this process.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    ray.init(
        address="local",
        num_cpus=max(args.replicas, os.cpu_count() or 1),
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": keep_replica_on_loopback},
        _node_ip_address=HOST,
        _temp_dir=args.work,
    )
    # After ray.init, which takes the handler of SIGTERM for itself.
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        port = free_port()
        serve.start(proxy_location="HeadOnly", http_options={"host": HOST, "port": port})
        serve.run(deployment(os.path.abspath(args.models), args.models_per_replica, args.replicas), route_prefix="/")
        print(f"listening on http://{HOST}:{port}", flush=True)
        stop.wait()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
