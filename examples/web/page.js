// SPDX-License-Identifier: Apache-2.0
// The page: a file goes in, a signature comes out.
import { generatePKCS7 } from "/web/sign.js";

const $ = (id) => document.getElementById(id);
let url = null; // of the last signature

function say(text, isError) {
    $("status").textContent = text;
    $("status").classList.toggle("error", isError);
}

async function sign(file) {
    const p7 = await generatePKCS7({
        fileContents: await file.arrayBuffer(),
        signingToken: $("token").value,
    });

    if (url !== null)
        URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([p7], { type: "application/pkcs7-signature" }));
    $("download").href = url;
    $("download").download = `${file.name}.p7s`;
    $("result").hidden = false;
    say(`${file.name} is signed.`, false);
    $("download").focus();
}

$("form").addEventListener("submit", async (event) => {
    const [file] = $("file").files;

    event.preventDefault();
    $("result").hidden = true;
    $("sign").disabled = true;
    say(`Signing ${file.name} ...`, false);
    try {
        await sign(file);
    } catch (error) {
        say(error.message, true);
    }
    $("sign").disabled = false;
    // Where there is nothing to save, the next thing to do is to try again.
    if ($("result").hidden)
        $("sign").focus();
});
