// SPDX-License-Identifier: Apache-2.0
/*
 *   sign.js URL DOCUMENT OUT
 *
 * Signs DOCUMENT by the service at URL in each mode with each hash.  For each,
 * OUT has MODE-HASH.pdf, .tampered.pdf (a byte of the text is another), .cms
 * and .bytes (what the CMS is of); its name is printed.
 */
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { plainAddPlaceholder } = require('@signpdf/placeholder-plain');
const { SignPdf } = require('@signpdf/signpdf');
const { Signer, SUBFILTER_ADOBE_PKCS7_DETACHED, SUBFILTER_ETSI_CADES_DETACHED } =
    require('@signpdf/utils');
const modes = require('./modes');

const [url, document, out] = process.argv.slice(2);

async function post(body) {
    const response = await fetch(url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
    });
    const answer = Buffer.from(await response.arrayBuffer());

    if (response.status !== 200)
        throw new Error(`${response.status}: ${answer}`);
    return answer;
}

class ServiceSigner extends Signer {
    constructor(mode, hash) {
        super();
        Object.assign(this, { mode, hash });
    }

    async sign(bytes) {
        this.bytes = bytes;
        this.cms = await this.mode.ask(post, bytes, this.hash);
        return this.cms;
    }
}

function tamper(pdf) {
    const other = Buffer.from(pdf);

    other[other.indexOf(' Tj') - 2] ^= 1;
    return other;
}

async function sign(mode, hash) {
    const signer = new ServiceSigner(mode, hash);
    const pdf = await new SignPdf().sign(plainAddPlaceholder({
        pdfBuffer: fs.readFileSync(document),
        reason: 'test', contactInfo: '', name: 'test', location: '',
        subFilter: mode.cades ? SUBFILTER_ETSI_CADES_DETACHED
            : SUBFILTER_ADOBE_PKCS7_DETACHED,
    }), signer);
    const name = `${mode.name}-${hash}`;
    const files = { pdf, 'tampered.pdf': tamper(pdf), cms: signer.cms,
        bytes: signer.bytes };

    for (const [ending, bytes] of Object.entries(files))
        fs.writeFileSync(path.join(out, `${name}.${ending}`), bytes);
    console.log(name);
}

async function main() {
    for (const mode of modes) {
        for (const hash of ['sha256', 'sha384', 'sha512'])
            await sign(mode, hash);
    }
}

main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
});
