#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does what a Containerfile says, in directories, where no registry is.

    containerfile.py FILE CONTEXT BASE DIR

Every stage begins as a copy of the directory BASE, RUN runs there under chroot,
COPY copies.  DIR/image is the last stage, DIR/image.json its ENV, USER, VOLUME,
EXPOSE and ENTRYPOINT.  What does not depend on the context, up to a stage's
first COPY, is kept in DIR for the next time, by the hash of its text; so is the
image, by the hash of all that went into it.  An instruction or option that is
not known here is an error.  Needs root.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def instructions(path):
    """[(NAME, text)]: comments dropped, continued lines joined."""
    text = "".join(line for line in open(path) if not line.lstrip().startswith("#"))
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, rest = line.strip().split(None, 1)
            yield name.upper(), rest


def substitute(text, values):
    return re.sub(r"\$\{(\w+)\}", lambda m: values[m.group(1)], text)


def parse(path):
    """The stages: dicts of name, steps and configuration."""
    args, stages = {}, []
    for name, text in instructions(path):
        if name == "ARG":
            key, _, value = text.partition("=")
            args[key] = value
            continue
        if name == "FROM":
            words = substitute(text, args).split()
            if len(words) not in (1, 3) or words[0] != args.get("BASE"):
                raise SystemExit(f"FROM {text}: not BASE")
            stages.append({"name": words[2] if len(words) == 3 else "", "steps": [],
                           "Env": {}, "Volumes": [], "Ports": []})
            continue
        stage = stages[-1]
        if name in ("RUN", "COPY"):
            stage["steps"].append((name, text, dict(stage["Env"])))
        elif name == "ENV":
            stage["Env"].update(pair.split("=", 1) for pair in shlex.split(text))
        elif name in ("USER", "WORKDIR", "STOPSIGNAL"):
            stage[name.capitalize()] = text
        elif name == "VOLUME":
            stage["Volumes"].append(text)
        elif name == "EXPOSE":
            stage["Ports"].append(text)
        elif name == "ENTRYPOINT":
            stage["Entrypoint"] = json.loads(text)
        else:
            raise SystemExit(f"{name} is not known here")
    return stages


def run(root, command, env):
    print(f"RUN {command}", flush=True)
    shutil.copy("/etc/resolv.conf", root + "/etc/resolv.conf")
    subprocess.run(["chroot", root, "/bin/sh", "-c", command], check=True, stdin=subprocess.DEVNULL,
                   env={"PATH": PATH, "HOME": "/root", **env})


def copy_one(source, target, into):
    """As COPY: of a directory what is in it."""
    if into and not os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not into:
        os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        source += "/."
    subprocess.run(["cp", "-a", "--no-preserve=ownership", source, target], check=True)


def copy(root, text, context, roots):
    print(f"COPY {text}", flush=True)
    words = text.split()
    options = [w for w in words if w.startswith("--")]
    *sources, target = [w for w in words if not w.startswith("--")]
    origin, mode = context, None
    for option in options:
        key, value = option.split("=", 1)
        if key == "--from":
            origin = roots[value]
        elif key == "--chmod":
            mode = int(value, 8)
        else:
            raise SystemExit(f"COPY {option} is not known here")
    for source in sources:
        copy_one(os.path.join(origin, source.lstrip("/")), root + target,
                 target.endswith("/") and target != "/")
    if mode is not None:
        os.chmod(root + target, mode)


def tree_hash(path, digest):
    for where, dirs, files in os.walk(path):
        dirs.sort()
        for name in sorted(files):
            digest.update(os.path.join(where, name).encode())
            digest.update(open(os.path.join(where, name), "rb").read())


def context_hash(stages, context, base):
    digest = hashlib.sha256(json.dumps([stages, os.stat(base).st_mtime_ns]).encode())
    for stage in stages:
        for name, text, _ in stage["steps"]:
            if name == "COPY" and "--from=" not in text:
                for word in text.split()[:-1]:
                    path = os.path.join(context, word)
                    if os.path.isdir(path):
                        tree_hash(path, digest)
                    elif os.path.exists(path):
                        digest.update(open(path, "rb").read())
    return digest.hexdigest()


def clone(source, target):
    """Whole or not at all."""
    shutil.rmtree(target + ".new", ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", source, target + ".new"], check=True)
    os.rename(target + ".new", target)


def prefix(stage, base, directory):
    """The stage up to its first COPY: its directory, and the steps that are left."""
    steps = stage["steps"]
    first = next((i for i, s in enumerate(steps) if s[0] == "COPY"), len(steps))
    key = hashlib.sha256(json.dumps([steps[:first], os.stat(base).st_mtime_ns]).encode())
    root = os.path.join(directory, "layer-" + key.hexdigest()[:16])
    if not os.path.isdir(root):
        clone(base, root + ".tmp")
        for _, text, env in steps[:first]:
            run(root + ".tmp", text, env)
        os.rename(root + ".tmp", root)
    return root, steps[first:]


def forget(directory, but):
    """What earlier texts and builds left."""
    for name in os.listdir(directory):
        if re.match("layer-|stage-", name) and name not in but:
            shutil.rmtree(os.path.join(directory, name))


def build(stages, context, base, directory):
    roots = {}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        layers = list(pool.map(lambda stage: prefix(stage, base, directory), stages))
    forget(directory, {os.path.basename(layer) for layer, _ in layers})
    for i, (stage, (layer, steps)) in enumerate(zip(stages, layers)):
        root = os.path.join(directory, f"stage-{i}")
        clone(layer, root)
        for name, text, env in steps:
            if name == "RUN":
                run(root, text, env)
            else:
                copy(root, text, context, roots)
        roots[stage["name"] or str(i)] = root
    return root


def main():
    path, context, base, directory = sys.argv[1:]
    stages = parse(path)
    digest = context_hash(stages, context, base)
    config = os.path.join(directory, "image.json")
    if os.path.exists(config) and json.load(open(config))["hash"] == digest:
        print("nothing has changed")
        return
    if os.path.exists(config):
        os.remove(config)
    root = build(stages, context, base, directory)
    image = os.path.join(directory, "image")
    shutil.rmtree(image, ignore_errors=True)
    os.rename(root, image)
    forget(directory, {n for n in os.listdir(directory) if n.startswith("layer-")})
    last = {k: v for k, v in stages[-1].items() if k not in ("steps", "name")}
    with open(config + ".new", "w") as file:
        json.dump({"hash": digest, **last}, file, indent=1)
    os.rename(config + ".new", config)


main()
