const day28 = '(0[1-9]|1[0-9]|2[0-8])';
/** Days that every year has. */
const date = `[0-9]{4}-(${[
  `02-${day28}`,
  `(0[469]|11)-(${day28}|29|30)`,
  `(0[13578]|1[02])-(${day28}|29|30|31)`,
].join('|')})`;
const hour = '([01][0-9]|2[0-3])';
const time = `${hour}:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z`;
/** Without a limit on lengths: each count would cost the compiler as many states. */
const label = '[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*';
const hostname = `${label}(\\.${label})*`;
const byte = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const hex16 = '[0-9a-fA-F]{1,4}';
const path = "[a-zA-Z0-9._~!$&'()*+,;=:@/-]*";
const query = "(\\?[a-zA-Z0-9._~!$&'()*+,;=:@/?-]*)?";

/**
 * Regular expressions of the formats of JSON Schema that can be held, some narrower than the format: what is
 * written should be valid, not everything that is valid has to be writable.
 */
export const formats: Readonly<Record<string, string>> = {
  date,
  time,
  'date-time': `${date}T${time}`,
  duration:
    'P([0-9]{1,4}W|([0-9]{1,4}D|[0-9]{1,4}M([0-9]{1,4}D)?|[0-9]{1,4}Y([0-9]{1,4}M([0-9]{1,4}D)?)?)(T[0-9]{1,4}S)?|T([0-9]{1,4}S|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?))',
  email: `[a-zA-Z0-9_+-]+(\\.[a-zA-Z0-9_+-]+)*@(${label}\\.)+[a-zA-Z][a-zA-Z]+`,
  hostname,
  ipv4: `${byte}(\\.${byte}){3}`,
  ipv6: `(${hex16}:){7}${hex16}`,
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}',
  uri: `https?://${hostname}(/${path})?${query}`,
  'uri-reference': `(https?://${hostname})?/${path}${query}`,
};
