// Assigns numbered people by assignment.js. node assignment_people.js TASK.json OUT: one byte a snapshot and person
// into OUT, what the bytes mean onto standard output. The twin of assignment_people.py.
const fs = require("fs");
const task = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const {router} = require(task.script);
const meanings = {};
const out = Buffer.alloc(task.snapshots.length * task.people);
task.snapshots.forEach((snapshot, s) => {
  const draw = router(snapshot), ids = snapshot.experiments.map((experiment) => experiment.experiment_id).sort();
  const codes = new Map([[null, 0]]);
  for (let i = 0; i < task.people; i++) {
    const found = draw(i.toString(16).padStart(32, "0"));
    let code = codes.get(found);
    if (code === undefined) {
      const {experiment_id, arm} = found;
      const place = arm === null ? 0 : arm === "control" ? 1 : arm === "challenger" ? 2 : 1 + Number(arm.slice(11));
      code = 1 + 16 * ids.indexOf(experiment_id) + place;
      codes.set(found, code);
      meanings[`${s}:${code}`] = found;
    }
    out[s * task.people + i] = code;
  }
});
fs.writeFileSync(process.argv[3], out);
console.log(JSON.stringify(meanings));
