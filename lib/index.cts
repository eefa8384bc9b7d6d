/**
 * What `require("astgnn")` gets: the very objects that `import` gets, since every supported Node can require an ES module.
 * TypeScript knows that with `module: nodenext` from 5.8 on; elsewhere the next line would be an error in the user's compilation:
 * @ts-ignore */
export * from "./index.js";
