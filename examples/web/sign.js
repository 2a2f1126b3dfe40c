// SPDX-License-Identifier: Apache-2.0
// The callback that a Web SDK wants for a PKCS #7 signature:
//
//     import { generatePKCS7 } from "/web/sign.js";
//     instance.signDocument(null, generatePKCS7);

// As base64; in parts, since a function takes so many arguments only.
function encode(buffer) {
    const bytes = new Uint8Array(buffer);
    let text = "";

    for (let i = 0; i < bytes.length; i += 0x8000)
        text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
    return btoa(text);
}

function decode(text) {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
}

// fileContents: an ArrayBuffer, or null where the SDK hands on the SHA-256
// digest alone, in hex: hash.  Resolves to the PKCS #7 in DER, an ArrayBuffer;
// rejects with an Error whose message is for people.
export async function generatePKCS7({ fileContents, hash, signingToken }) {
    const body = { encodedContents: fileContents ? encode(fileContents) : "" };
    let response, p7;

    if (!fileContents)
        body.hash = hash;
    if (signingToken)
        body.signing_token = signingToken;
    try {
        response = await fetch(new URL("/sign", import.meta.url), {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(body),
        });
    } catch {
        throw new Error("The signing service does not answer.");
    }
    if (!response.ok) {
        const id = response.headers.get("X-Request-Id") ?? "without a name";

        throw new Error(`The signing service says: ${await response.text()} (${response.status}, request ${id})`);
    }
    try {
        ({ p7 } = await response.json());
    } catch {
        // It is judged below.
    }
    if (typeof p7 !== "string" || p7 === "")
        throw new Error("What answers is no signing service.");
    return decode(p7);
}
