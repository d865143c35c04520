// A greeter in JavaScript. It answers calls through links, and HTTP requests by asking the greeter that it is linked to
// itself. It answers what http-front does, so that one test can look at both.

import { greet as ask } from 'lath:demo/greeter@0.1.0';
import { get as config } from 'wasi:config/store@0.2.0-rc.1';
import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from 'wasi:http/types@0.2.12';

import { changeOption, changeShape, changeSpecimen, changeText } from './change.js';

const VERSION = 'js-v1';

export const greeter = {
  greet(name) {
    // What is thrown is the error of the function's result.
    if (name === '') throw 'whom to greet? the name is empty';
    const word = config('word') ?? 'Hello';
    return { text: `${word}, ${name}`, version: VERSION };
  },

  shapes(specimen, shapes, note) {
    return [changeSpecimen(specimen), shapes.map(changeShape).reverse(), changeOption(note, changeText)];
  },
};

export const incomingHandler = {
  handle(request, answer) {
    const [status, text] = respond(new URL(request.pathWithQuery() ?? '/', 'http://guest.invalid'));
    const fields = new Fields();
    fields.set('content-type', [new TextEncoder().encode('application/json')]);
    // By its id the caller finds its request again in the answer.
    fields.set('x-request-id', request.headers().get('x-request-id'));
    const response = new OutgoingResponse(fields);
    response.setStatusCode(status);
    const body = response.body();
    ResponseOutparam.set(answer, { tag: 'ok', val: response });
    const stream = body.write();
    stream.blockingWriteAndFlush(new TextEncoder().encode(text + '\n'));
    stream[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};

function respond(url) {
  const name = url.searchParams.get('name') ?? 'world';
  try {
    const { text, version } = ask(name);
    const answer = { component: 'js-greeter', version: VERSION, greeter: version, text };
    return [200, JSON.stringify(answer)];
  } catch (error) {
    if (error?.payload === undefined) throw error;
    return [400, String(error.payload)];
  }
}
