// Calls a chaincode through the gateway service of a peer (Fabric 2.4 and later).
//
//   kubectl fabric identity enroll org1 alice --register --to alice
//   kubectl fabric profile org1 --exposed -o json >profile.json
//   node app.js profile.json alice mychannel basic evaluate ReadAsset asset1
//   node app.js profile.json alice mychannel basic submit CreateAsset asset7 blue 5 Tom 100
//
// The profile says where the peer is and whom to trust. The folder has the user's certificate and
// private key.
'use strict';

const grpc = require('@grpc/grpc-js');
const { connect, hash, signers } = require('@hyperledger/fabric-gateway');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const [profileFile, folder, channel, chaincode, how, ...call] = process.argv.slice(2);
const profile = JSON.parse(fs.readFileSync(profileFile, 'utf8'));
const organization = profile.organizations[profile.client.organization];
const peer = profile.peers[organization.peers[0]];

// The one file of a folder of the MSP.
function only(name) {
    const inside = path.join(folder, 'msp', name);
    return fs.readFileSync(path.join(inside, fs.readdirSync(inside)[0]));
}

async function main() {
    const client = new grpc.Client(
        new URL(peer.url).host,
        grpc.credentials.createSsl(Buffer.from(peer.tlsCACerts.pem)),
        { 'grpc.ssl_target_name_override': peer.grpcOptions['ssl-target-name-override'] },
    );
    const gateway = connect({
        client,
        identity: { mspId: organization.mspid, credentials: only('signcerts') },
        signer: signers.newPrivateKeySigner(crypto.createPrivateKey(only('keystore'))),
        hash: hash.sha256,
    });
    try {
        const contract = gateway.getNetwork(channel).getContract(chaincode);
        const result = how === 'submit'
            ? await contract.submitTransaction(...call)
            : await contract.evaluateTransaction(...call);
        console.log(Buffer.from(result).toString());
    } finally {
        gateway.close();
        client.close();
    }
}

main().catch(error => {
    console.error(error.message, error.details ?? '');
    process.exitCode = 1;
});
