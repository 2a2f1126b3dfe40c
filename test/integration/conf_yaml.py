#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""conf/compose.yaml and conf/kubernetes.yaml beside the program.

    conf_yaml.py CONF HSMSIGND

Commands, ports, paths and variables that stand in both have to agree.  Prints
"ok SENTENCE" or "not ok SENTENCE" for each.
"""
import os
import re
import subprocess
import sys

import yaml

conf, program = sys.argv[1:]
usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
known = set(re.findall(r"\b(?:HSM|SIGNING_SERVICE)_[A-Z0-9_]+", usage))
defaults = dict(re.findall(r"--([a-z-]+) [A-Z]+(?:(?!\n  --).)*?\((\w+)\)\n", usage, re.S))
PORT, DRAIN = int(defaults["port"]), int(defaults["drain"])
containerfile = open(os.path.join(conf, "Containerfile")).read()
uid = int(re.search(r"^USER (\d+)", containerfile, re.M).group(1))


def check(sentence, good):
    print("ok" if good else "not ok", sentence)


def load(name):
    return list(yaml.safe_load_all(open(os.path.join(conf, name))))


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text).group(1))


def compose(document):
    service = document["services"]["signing_service"]
    engine = document["services"]["document_engine"]
    environment = service["environment"]
    check("compose: the program has each variable", set(environment) <= known)
    check("compose: the guide's variables are there",
          {"SIGNING_SERVICE_PORT", "HSM_MODULE", "HSM_PIN"} <= set(environment))
    check("compose: the port is the program's, everywhere",
          environment["SIGNING_SERVICE_PORT"] == PORT and service["expose"] == [PORT]
          and engine["environment"]["SIGNING_SERVICE_URL"] == f"http://signing_service:{PORT}/sign")
    check("compose: the build finds its Containerfile", os.path.samefile(
        os.path.join(conf, service["build"]["context"], service["build"]["dockerfile"]),
        os.path.join(conf, "Containerfile")))
    volume = re.search(r"^VOLUME (\S+)", containerfile, re.M).group(1)
    check("compose: the image's volume is kept", f"state:{volume}" in service["volumes"])
    check("compose: the default module is the image's", re.search(
        r":-(.*)}", environment["HSM_MODULE"]).group(1) in containerfile)
    check("compose: it has time to finish", seconds(service["stop_grace_period"]) > DRAIN)


def with_secrets():
    """The other way, which stands in comments."""
    text = open(os.path.join(conf, "compose.yaml")).read()
    text = re.sub(r"(?m)^( *)# ((HSM_PIN_FILE|secrets|  hsm_pin|    file):)", r"\1\2", text)
    text = re.sub(r"(?m)^ *HSM_PIN: .*\n", "", text)
    document = yaml.safe_load(text)
    service = document["services"]["signing_service"]
    name = service["secrets"][0]
    check("compose: with secrets the PIN is in the file that is named",
          service["environment"]["HSM_PIN_FILE"] == f"/run/secrets/{name}"
          and name in document["secrets"])


def kubernetes(documents):
    by_kind = {document["kind"]: document for document in documents}
    deployment = by_kind["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    container, = pod["containers"]
    environment = {e["name"]: e["value"] for e in container["env"]}
    labels = deployment["template"]["metadata"]["labels"]
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    policy = by_kind["NetworkPolicy"]["spec"]
    port, = container["ports"]
    check("kubernetes: the program has each variable",
          set(environment) <= known)
    check("kubernetes: the port is the program's, everywhere",
          {PORT} == {int(environment["SIGNING_SERVICE_PORT"]), port["containerPort"],
                     by_kind["Service"]["spec"]["ports"][0]["port"],
                     policy["ingress"][0]["ports"][0]["port"]})
    check("kubernetes: probes and service name that port", {port["name"]} == {
        by_kind["Service"]["spec"]["ports"][0]["targetPort"],
        *(container[p]["httpGet"]["port"]
          for p in ("startupProbe", "livenessProbe", "readinessProbe"))})
    check("kubernetes: all select the pods", all(labels == selector for selector in (
        deployment["selector"]["matchLabels"], by_kind["Service"]["spec"]["selector"],
        by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"])))
    check("kubernetes: a pod may be away, and one stays",
          deployment["replicas"] > by_kind["PodDisruptionBudget"]["spec"]["minAvailable"] >= 1)
    check("kubernetes: its files are in what is mounted", all(
        any(environment[v].startswith(path + "/") for path in mounts.values())
        for v in ("HSM_PIN_FILE", "HSM_CERT", "HSM_CHAIN", "HSM_MODULE")))
    check("kubernetes: what is mounted is there",
          set(mounts) == {volume["name"] for volume in pod["volumes"]})
    stop = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    check("kubernetes: it has time to finish", pod["terminationGracePeriodSeconds"] > stop + DRAIN)
    security = {**pod["securityContext"], **container["securityContext"]}
    check("kubernetes: it is the image's user, and confined",
          security["runAsUser"] == uid and security["runAsNonRoot"]
          and security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        print("path", container[probe]["httpGet"]["path"])


compose(load("compose.yaml")[0])
with_secrets()
kubernetes(load("kubernetes.yaml"))
