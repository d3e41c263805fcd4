// A foreign OPC UA server (node-opcua) for the tests: secured, user and password, changing values.
// node foreign_server.js MODULES_FOLDER WORK_FOLDER → one line of JSON when it listens.
const path = require("path");
const [, , modules, work] = process.argv;
const opcua = require(path.join(modules, "node-opcua"));

(async () => {
  const server = new opcua.OPCUAServer({
    port: 0,
    hostname: "127.0.0.1",
    serverCertificateManager: new opcua.OPCUACertificateManager({
      rootFolder: path.join(work, "pki"), automaticallyAcceptUnknownCertificate: true,
    }),
    securityPolicies: [opcua.SecurityPolicy.None, opcua.SecurityPolicy.Basic256Sha256],
    securityModes: [opcua.MessageSecurityMode.None, opcua.MessageSecurityMode.SignAndEncrypt],
    allowAnonymous: true,
    userManager: { isValidUser: (user, password) => user === "operator" && password === "tester" },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.registerNamespace("urn:foreign:plant");
  const plant = own.addFolder(space.rootFolder.objects, { browseName: "Plant" });
  const press = own.addObject({ componentOf: plant, browseName: "Press 1" });
  let count = 0, force = 0, state = "idle";
  const counter = own.addVariable({
    componentOf: press, browseName: "Counter", nodeId: "s=counter", dataType: "UInt32",
  });
  const forceNode = own.addAnalogDataItem({
    componentOf: press, browseName: "Force", nodeId: "s=force", dataType: "Double",
    engineeringUnitsRange: { low: 0, high: 500 },
    engineeringUnits: opcua.standardUnits.newton, valuePrecision: 0.1,
  });
  const text = own.addVariable({
    componentOf: press, browseName: "State", nodeId: "s=state", dataType: "String",
  });
  own.addVariable({
    componentOf: press, browseName: "On", nodeId: "s=on", dataType: "Boolean",
    value: { dataType: "Boolean", value: true },
  });
  own.addVariable({
    componentOf: press, browseName: "Matrix", dataType: "Double", valueRank: 1,
    value: { dataType: "Double", arrayType: opcua.VariantArrayType.Array, value: [1, 2] },
  });
  const log = [];
  setInterval(() => {
    count += 1; force = Math.round(Math.sin(count / 10) * 1000) / 10;
    state = count % 20 < 10 ? "press" : "压制";
    counter.setValueFromSource({ dataType: "UInt32", value: count });
    forceNode.setValueFromSource({ dataType: "Double", value: force });
    text.setValueFromSource({ dataType: "String", value: state });
    log.push([count, force]);
  }, 100);
  await server.start();
  const endpoint = `opc.tcp://127.0.0.1:${server.endpoints[0].port}`;
  console.log(JSON.stringify({ endpoint }));
  process.stdin.on("data", () => console.log(JSON.stringify(log)));
})();
