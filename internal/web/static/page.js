// Every page works without this file. With it, times are local, the ballot
// helps, and a page that waits for something looks again by itself.

for (const time of document.querySelectorAll('time[datetime]')) {
  const date = new Date(time.dateTime);
  if (isNaN(date)) continue;
  time.title = time.textContent; // the server's words, in UTC
  time.textContent = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(date);
}

for (const form of document.querySelectorAll('form.ballot')) help(form);

for (const button of document.querySelectorAll('button[data-copy]')) {
  if (!navigator.clipboard) continue; // only in a secure context; the text can be selected anyway
  button.hidden = false;
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = 'Copied';
  });
}

const waiting = document.querySelector('main[data-recheck]');
if (waiting) recheck(waiting.dataset.recheck);

function help(form) {
  const boxes = [...form.querySelectorAll('input[type=checkbox]')];
  const min = Number(form.dataset.min), max = Number(form.dataset.max);
  const tellback = form.querySelector('.tellback');
  const button = form.querySelector('[type=submit]'), words = button.textContent;
  let sent = false;

  function count() {
    const chosen = boxes.filter((box) => box.checked).length;
    for (const box of boxes) box.disabled = chosen >= max && !box.checked;
    tellback.hidden = chosen === 0;
    tellback.classList.remove('wrong');
    tellback.textContent = max < boxes.length ? `${chosen} of ${max} chosen` : `${chosen} chosen`;
    return chosen;
  }

  function reset() {
    sent = false;
    button.textContent = words;
    button.removeAttribute('aria-disabled');
  }

  form.addEventListener('submit', (event) => {
    if (sent) {
      event.preventDefault();
      return;
    }
    if (boxes.length > 0 && count() < min) {
      event.preventDefault();
      tellback.hidden = false;
      tellback.classList.add('wrong');
      tellback.textContent = min === 1 ? 'Choose at least one first.' : `Choose at least ${min} first.`;
      boxes.find((box) => !box.disabled).focus();
      return;
    }
    // A second click must not post again while the first is on its way.
    sent = true;
    button.textContent = 'Casting…';
    button.setAttribute('aria-disabled', 'true');
  });
  addEventListener('pageshow', (event) => event.persisted && reset()); // back to a page that was kept whole
  if (boxes.length > 0) {
    form.addEventListener('change', count);
    if (boxes.some((box) => box.checked)) count();
  }
}

// Loads the page anew once the server's version of it says something else. The
// pauses grow and are random, so that a full hall does not ask in step.
function recheck(known) {
  let pause = 2000;
  const look = async () => {
    try {
      const busy = document.hidden || document.querySelector('details.again[open]');
      const response = busy ? null : await fetch(location.href, { cache: 'no-store' });
      if (response?.ok) {
        const page = new DOMParser().parseFromString(await response.text(), 'text/html');
        if (page.querySelector('main')?.dataset.recheck !== known) {
          location.replace(location.href.split('#')[0]);
          return;
        }
      }
    } catch {
      // Offline: look again later.
    }
    pause = Math.min(pause * 1.5, 20000);
    setTimeout(look, pause * (0.5 + Math.random() / 2));
  };
  setTimeout(look, pause * (0.5 + Math.random() / 2));
}
